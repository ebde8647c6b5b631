/// Access to the scalars of text that is known to be valid UTF-8.
extension Span<UInt8> {
  /// Returns the scalar that begins at an offset, and the offset after it.
  func scalar(at offset: Int) -> (value: UInt32, end: Int) {
    let first = UInt32(self[offset])
    switch first {
    case 0..<0x80: return (first, offset + 1)
    case 0..<0xE0: return ((first & 0x1F) << 6 | tail(offset + 1), offset + 2)
    case 0..<0xF0: return ((first & 0x0F) << 12 | tail(offset + 1) << 6 | tail(offset + 2), offset + 3)
    default:
      let value = (first & 0x07) << 18 | tail(offset + 1) << 12 | tail(offset + 2) << 6 | tail(offset + 3)
      return (value, offset + 4)
    }
  }

  /// Returns the offset of the scalar that ends at `end`; `end` is not 0.
  func startOfScalar(before end: Int) -> Int {
    var start = end - 1
    while self[start] & 0xC0 == 0x80 { start -= 1 }
    return start
  }

  private func tail(_ offset: Int) -> UInt32 { UInt32(self[offset] & 0x3F) }
}
