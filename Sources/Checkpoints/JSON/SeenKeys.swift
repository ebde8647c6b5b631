/// The keys of one object; most objects have few, and then comparing is faster than hashing.
///
/// Keys are the same if their bytes are: vocabularies have both spellings of many accented letters.
struct SeenKeys {
  private static let fewLimit = 8
  private var few: [String] = []
  private var many: Set<ExactText> = []

  /// Adds a key, and returns whether it is new.
  mutating func insert(_ key: String) -> Bool {
    guard many.isEmpty else { return many.insert(ExactText(key)).inserted }
    guard !few.contains(where: { ExactText($0) == ExactText(key) }) else { return false }
    if few.isEmpty { few.reserveCapacity(Self.fewLimit) }
    few.append(key)
    if few.count == Self.fewLimit { many = Set(few.map(ExactText.init)) }
    return true
  }

  /// Removes all keys, keeping the capacity for a few.
  mutating func removeAll() {
    few.removeAll(keepingCapacity: true)
    many = []
  }
}

/// A text that is equal only to a text of the same bytes; a `String` is equal to its other normal forms too.
struct ExactText: Hashable {
  let text: String

  init(_ text: String) { self.text = text }

  static func == (left: ExactText, right: ExactText) -> Bool {
    left.text.utf8.count == right.text.utf8.count && left.text.utf8.elementsEqual(right.text.utf8)
  }

  func hash(into hasher: inout Hasher) {
    for byte in text.utf8 { hasher.combine(byte) }
  }
}
