import CKernels

/// Packs codes densely, lowest bits first.
///
/// With 2 bits byte `k` holds codes `4k ..< 4k + 4`; with 3, 5 or 6 bits 8 codes take as many bytes. Rows that fill whole
/// bytes may be packed at once.
///
/// - Parameters:
///   - codes: Codes; bits above the lowest `bits` are dropped.
///   - bits: 2, 3, 4, 5, 6 or 8.
///   - bytes: `codes.count * bits / 8` bytes, without a remainder.
///   - set: The instructions to use.
package func packCodes(
  _ codes: Span<UInt8>, bits: Int, into bytes: inout MutableSpan<UInt8>, on set: InstructionSet = .best
) {
  let count = codes.count
  requirePacked(count: count, bits: bits, byteCount: bytes.count)
  unsafe writing(&bytes) { bytes in
    unsafe reading(codes) { codes in unsafe ck_pack_codes(set.rawValue, codes, count, Int32(bits), bytes) }
  }
}

/// Unpacks dense codes; the inverse of `packCodes`.
///
/// - Parameters:
///   - bytes: Codes as `packCodes` writes them.
///   - bits: 2, 3, 4, 5, 6 or 8.
///   - codes: `bytes.byteCount * 8 / bits` codes, one per byte.
///   - set: The instructions to use.
package func unpackCodes(
  _ bytes: RawSpan, bits: Int, into codes: inout MutableSpan<UInt8>, on set: InstructionSet = .best
) {
  let count = codes.count
  requirePacked(count: count, bits: bits, byteCount: bytes.byteCount)
  unsafe writing(&codes) { codes in
    unsafe reading(bytes) { bytes in unsafe ck_unpack_codes(set.rawValue, bytes, count, Int32(bits), codes) }
  }
}

/// `packCodes` as a plain loop, which defines it.
package func packCodesReference(_ codes: Span<UInt8>, bits: Int, into bytes: inout MutableSpan<UInt8>) {
  requirePacked(count: codes.count, bits: bits, byteCount: bytes.count)
  for i in bytes.indices { bytes[i] = 0 }
  for position in 0..<codes.count * bits where codes[position / bits] >> UInt8(position % bits) & 1 == 1 {
    bytes[position / 8] |= 1 << UInt8(position % 8)
  }
}

/// `unpackCodes` as a plain loop, which defines it.
package func unpackCodesReference(_ bytes: RawSpan, bits: Int, into codes: inout MutableSpan<UInt8>) {
  requirePacked(count: codes.count, bits: bits, byteCount: bytes.byteCount)
  for i in codes.indices { codes[i] = code(at: i, bits: bits, in: bytes) }
}

/// The code at an index of dense codes.
func code(at index: Int, bits: Int, in bytes: RawSpan) -> UInt8 {
  var code: UInt8 = 0
  for bit in 0..<bits {
    let position = index * bits + bit
    let byte = load(UInt8.self, from: bytes, at: position / 8)
    code |= (byte >> UInt8(position % 8) & 1) << UInt8(bit)
  }
  return code
}

private func requirePacked(count: Int, bits: Int, byteCount: Int) {
  precondition([2, 3, 4, 5, 6, 8].contains(bits), "\(bits) bits")
  precondition(count * bits == byteCount * 8, "\(count) codes of \(bits) bits in \(byteCount) bytes")
}
