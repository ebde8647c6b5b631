/// Writing of little-endian fields, of every format.
extension [UInt8] {
  /// Appends an integer, lowest byte first.
  mutating func appendInteger<T: FixedWidthInteger>(_ value: T) {
    for shift in stride(from: 0, to: T.bitWidth, by: 8) { append(UInt8(truncatingIfNeeded: value >> shift)) }
  }

  /// Appends zeros until the array has a number of bytes.
  mutating func appendZeros(upTo byteCount: Int) {
    append(contentsOf: repeatElement(0, count: byteCount - count))
  }
}
