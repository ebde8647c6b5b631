/// The keys of one object; most objects have few, and then comparing is faster than hashing.
struct SeenKeys {
  private static let fewLimit = 8
  private var few: [String] = []
  private var many: Set<String> = []

  /// Adds a key, and returns whether it is new.
  mutating func insert(_ key: String) -> Bool {
    guard many.isEmpty else { return many.insert(key).inserted }
    guard !few.contains(key) else { return false }
    if few.isEmpty { few.reserveCapacity(Self.fewLimit) }
    few.append(key)
    if few.count == Self.fewLimit { many = Set(few) }
    return true
  }

  /// Removes all keys, keeping the capacity for a few.
  mutating func removeAll() {
    few.removeAll(keepingCapacity: true)
    many = []
  }
}
