/// Texts with numbers, found byte by byte.
struct SentencePieceTrie: Sendable {
  /// The node that every text begins at.
  static let root: Int32 = 0

  /// The node and the byte that lead to a child; 0 in free slots, since no child is the root.
  ///
  /// The number of slots is a power of two; at most half are used.
  private var keys = [UInt64](repeating: 0, count: 64)
  private var children = [Int32](repeating: 0, count: 64)
  /// The number of the text that ends at each node, or -1.
  private var values: [Int32] = [-1]

  /// Whether there are no texts.
  var isEmpty: Bool { values.count == 1 }

  /// Adds a text; a later number replaces an earlier one.
  ///
  /// - Parameters:
  ///   - text: Not empty.
  ///   - value: At least 0.
  mutating func insert(_ text: [UInt8], value: Int32) {
    var node = Self.root
    for byte in text {
      let found = child(of: node, byte)
      node = found >= 0 ? found : add(byte, to: node)
    }
    values[Int(node)] = value
  }

  /// Returns the node that a byte leads to, or -1.
  func child(of node: Int32, _ byte: UInt8) -> Int32 {
    let key = Self.key(node, byte)
    let slot = slot(of: key)
    return keys[slot] == key ? children[slot] : -1
  }

  /// Returns the number of the text that ends at a node, or -1.
  func value(at node: Int32) -> Int32 { values[Int(node)] }

  /// Returns the end of the longest text that begins at an offset of `bytes`, or nil if none does.
  func longestMatch(in bytes: Span<UInt8>, at start: Int) -> Int? {
    var node = Self.root
    var end: Int?
    for position in start..<bytes.count {
      node = child(of: node, bytes[position])
      if node < 0 { break }
      if values[Int(node)] >= 0 { end = position + 1 }
    }
    return end
  }

  private mutating func add(_ byte: UInt8, to node: Int32) -> Int32 {
    let new = Int32(values.count)
    values.append(-1)
    if values.count * 2 > keys.count { grow() }
    let key = Self.key(node, byte)
    let slot = slot(of: key)
    keys[slot] = key
    children[slot] = new
    return new
  }

  private mutating func grow() {
    let (oldKeys, oldChildren) = (keys, children)
    keys = [UInt64](repeating: 0, count: oldKeys.count * 2)
    children = [Int32](repeating: 0, count: oldKeys.count * 2)
    for (key, child) in zip(oldKeys, oldChildren) where key != 0 {
      let slot = slot(of: key)
      keys[slot] = key
      children[slot] = child
    }
  }

  private func slot(of key: UInt64) -> Int {
    var slot = Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) >> 32) & (keys.count - 1)
    while keys[slot] != 0, keys[slot] != key { slot = (slot + 1) & (keys.count - 1) }
    return slot
  }

  /// A number other than 0.
  private static func key(_ node: Int32, _ byte: UInt8) -> UInt64 {
    (UInt64(UInt32(bitPattern: node)) + 1) << 8 | UInt64(byte)
  }
}
