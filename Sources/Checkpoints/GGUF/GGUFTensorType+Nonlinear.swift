// Blocks whose codes of four bits stand for 16 values that are closer to each other around zero.

private let nonlinearValues: [Float] = [
  -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
]

/// Writes 32 values of the codes in 16 bytes: the lower halves of all bytes, then the upper ones.
private func decodeNonlinear(
  _ bytes: RawSpan, at start: Int, scale: Float, into values: inout MutableSpan<Float>, at first: Int
) {
  for i in 0..<16 {
    let pair = bytes.byte(at: start + i)
    values[first + i] = scale * nonlinearValues[Int(pair & 15)]
    values[first + 16 + i] = scale * nonlinearValues[Int(pair >> 4)]
  }
}

/// ```
/// byte 0   2          18
///      d   qs 16 B        w = d * value[q], byte k holds weights k and k + 16, lowest bits first
/// ```
func decodeIQ4_NL(_ bytes: RawSpan, into values: inout MutableSpan<Float>) {
  for block in 0..<bytes.byteCount / 18 {
    let scale = bytes.half(at: 18 * block)
    decodeNonlinear(bytes, at: 18 * block + 2, scale: scale, into: &values, at: 32 * block)
  }
}

/// ```
/// byte 0   2              4                8           136
///      d   upper 2 bits   lower 4 bits     qs 128 B        w = (d * (scale - 32)) * value[q]
///          of 8 scales    of 8 scales
/// ```
///
/// Scale `g` of 32 weights has bits `2 g` and `2 g + 1` of the number at byte 2 above half `g` of the bytes from 4
/// on; its codes lie as in IQ4_NL.
func decodeIQ4_XS(_ bytes: RawSpan, into values: inout MutableSpan<Float>) {
  for block in 0..<bytes.byteCount / 136 {
    let start = 136 * block
    let d = bytes.half(at: start)
    let upper: UInt16 = bytes.integer(at: start + 2)
    for group in 0..<8 {
      let low = bytes.byte(at: start + 4 + group / 2) >> UInt8(group % 2 * 4) & 15
      let code = Int32(low) | Int32(upper >> UInt16(2 * group) & 3) << 4
      decodeNonlinear(
        bytes, at: start + 8 + 16 * group, scale: d * Float(code - 32), into: &values,
        at: 256 * block + 32 * group)
    }
  }
}
