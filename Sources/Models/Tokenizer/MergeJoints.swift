/// The pairs of neighbouring characters between which a merge joins two tokens.
///
/// No merge ever joins what stands on both sides of any other pair, so a text can be cut there and its parts
/// be encoded one by one: a text without words, as in SentencePiece, becomes words again.
struct MergeJoints: Sendable {
  /// A bit for each pair of ASCII characters.
  private var ascii = [UInt64](repeating: 0, count: 128 * 128 / 64)
  private var others: Set<UInt64> = []

  /// Adds the pair in the middle of a merge.
  ///
  /// - Parameters:
  ///   - left: The text of the left token, not empty, in UTF-8.
  ///   - right: The text of the right token, not empty, in UTF-8.
  mutating func insert(between left: Span<UInt8>, _ right: Span<UInt8>) {
    let before = left.scalar(at: left.startOfScalar(before: left.count)).value
    let after = right.scalar(at: 0).value
    if before < 128, after < 128 {
      let (word, bit) = Self.place(before, after)
      ascii[word] |= bit
    } else {
      others.insert(Self.key(before, after))
    }
  }

  /// Whether a merge can join tokens between two characters.
  func contains(_ left: UInt32, _ right: UInt32) -> Bool {
    guard left < 128, right < 128 else { return others.contains(Self.key(left, right)) }
    let (word, bit) = Self.place(left, right)
    return ascii[word] & bit != 0
  }

  private static func place(_ left: UInt32, _ right: UInt32) -> (word: Int, bit: UInt64) {
    let place = left << 7 | right
    return (Int(place >> 6), 1 << UInt64(place & 63))
  }

  private static func key(_ left: UInt32, _ right: UInt32) -> UInt64 { UInt64(left) << 32 | UInt64(right) }
}
