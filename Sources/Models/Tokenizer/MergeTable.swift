/// The pairs of tokens that merge, in order of priority.
struct MergeTable: Sendable {
  /// The rank that means "no merge".
  static let none = UInt32.max

  private var ranks: [UInt64: UInt32] = [:]
  /// The result of each merge, by rank.
  private(set) var merged: [Int32] = []

  /// Reserves space for a number of merges.
  init(minimumCapacity: Int) {
    ranks.reserveCapacity(minimumCapacity)
    merged.reserveCapacity(minimumCapacity)
  }

  /// Returns the rank of the merge of two tokens; the lowest rank is applied first.
  func rank(_ left: Int32, _ right: Int32) -> UInt32 { ranks[Self.key(left, right)] ?? Self.none }

  /// Adds a merge with the next rank.
  ///
  /// - Returns: The rank of an equal merge that was added earlier, or nil.
  mutating func append(_ left: Int32, _ right: Int32, makes token: Int32) -> UInt32? {
    let rank = UInt32(merged.count)
    merged.append(token)
    return ranks.updateValue(rank, forKey: Self.key(left, right))
  }

  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }
}
