/// Which pairs of tokens merge into which, and in what order.
struct MergeTable: Sendable {
  /// The rank that stands for no merge.
  static let none = UInt32.max

  private var ranks: [UInt64: UInt32] = [:]
  /// The token that each merge makes, by rank.
  private(set) var merged: [Int32] = []

  /// Prepares for a number of merges.
  init(minimumCapacity: Int) {
    ranks.reserveCapacity(minimumCapacity)
    merged.reserveCapacity(minimumCapacity)
  }

  /// The rank of the merge of two tokens; the lowest goes first.
  func rank(_ left: Int32, _ right: Int32) -> UInt32 { ranks[Self.key(left, right)] ?? Self.none }

  /// Adds a merge, ranked after those before it.
  ///
  /// - Returns: The rank of an equal merge that is there already, or nil.
  mutating func append(_ left: Int32, _ right: Int32, makes token: Int32) -> UInt32? {
    let rank = UInt32(merged.count)
    merged.append(token)
    return ranks.updateValue(rank, forKey: Self.key(left, right))
  }

  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }
}
