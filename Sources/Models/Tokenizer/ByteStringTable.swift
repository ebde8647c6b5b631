/// Distinct byte strings, numbered in the order of insertion, with their bytes in one array.
struct ByteStringTable: Sendable {
  private var bytes: [UInt8] = []
  private var ends: [Int] = [0]
  private var hashes: [UInt64] = []
  /// The index of the string in each slot, or -1.
  ///
  /// The number of slots is a power of two; at most half are used.
  private var slots = [Int](repeating: -1, count: 64)

  /// The number of strings in the table.
  var count: Int { hashes.count }

  /// Returns the index of a string, or nil if it is not in the table.
  func index(of string: Span<UInt8>) -> Int? {
    let found = slots[slot(of: string, hash: Self.hash(string))]
    return found >= 0 ? found : nil
  }

  /// Adds a string if it is not in the table.
  ///
  /// - Returns: The string's index, and whether it is new.
  mutating func insert(_ string: Span<UInt8>) -> (index: Int, isNew: Bool) {
    let hash = Self.hash(string)
    let slot = slot(of: string, hash: hash)
    if slots[slot] >= 0 { return (slots[slot], false) }
    let index = count
    slots[slot] = index
    for i in string.indices { bytes.append(string[i]) }
    ends.append(bytes.count)
    hashes.append(hash)
    if count * 2 > slots.count { grow() }
    return (index, true)
  }

  /// Returns the bytes of a string.
  subscript(index: Int) -> ArraySlice<UInt8> { bytes[ends[index]..<ends[index + 1]] }

  private func slot(of string: Span<UInt8>, hash: UInt64) -> Int {
    var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
    while slots[slot] >= 0, !holds(string, hash: hash, at: slots[slot]) {
      slot = (slot + 1) & (slots.count - 1)
    }
    return slot
  }

  private func holds(_ string: Span<UInt8>, hash: UInt64, at index: Int) -> Bool {
    let start = ends[index]
    guard hashes[index] == hash, ends[index + 1] - start == string.count else { return false }
    for i in string.indices where bytes[start + i] != string[i] { return false }
    return true
  }

  private mutating func grow() {
    slots = [Int](repeating: -1, count: slots.count * 2)
    for (index, hash) in hashes.enumerated() {
      var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
      while slots[slot] >= 0 { slot = (slot + 1) & (slots.count - 1) }
      slots[slot] = index
    }
  }

  /// FNV-1a followed by a shift, because its low bits depend only on the low bits of the bytes.
  private static func hash(_ string: Span<UInt8>) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for i in string.indices { hash = (hash ^ UInt64(string[i])) &* 0x100_0000_01B3 }
    return hash ^ hash >> 32
  }
}
