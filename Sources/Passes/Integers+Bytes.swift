extension [Int32] {
  /// The bytes of all integers, each little-endian.
  var littleEndianBytes: [UInt8] {
    flatMap { token in (0..<4).map { UInt8(truncatingIfNeeded: token >> (8 * Int32($0))) } }
  }
}

extension [UInt8] {
  /// The little-endian integers in the bytes; incomplete trailing bytes are dropped.
  var int32s: [Int32] {
    stride(from: 0, to: count - count % 4, by: 4).map { start in
      (0..<4).reduce(0) { $0 | Int32(self[start + $1]) << (8 * Int32($1)) }
    }
  }
}
