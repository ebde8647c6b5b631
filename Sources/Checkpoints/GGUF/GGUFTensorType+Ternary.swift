// Blocks whose codes stand for a scale times -1 and 1, or -1, 0, 1 (and 2 where a code has two full bits).

/// ```
/// byte 0          48        52  54
///      qs 48 B    qh 4 B    d        w = (q - 1) * d
/// ```
///
/// A byte holds up to five base-3 digits as the fraction `byte / 256`; the first digit is the whole part of
/// three times the fraction. 32 bytes hold weights `32 n + m`, 16 bytes `160 + 16 n + m`, 4 bytes
/// `240 + 4 n + m` in digit `n`.
func decodeTQ1_0(_ bytes: RawSpan, into values: inout MutableSpan<Float>) {
  for block in 0..<bytes.byteCount / 54 {
    let (start, first) = (54 * block, 256 * block)
    let d = bytes.half(at: start + 52)
    for (offset, count, digits, weight) in [(0, 32, 5, 0), (32, 16, 5, 160), (48, 4, 4, 240)] {
      for m in 0..<count {
        var rest = bytes.byte(at: start + offset + m)
        for n in 0..<digits {
          let tripled = UInt16(rest) * 3
          values[first + weight + count * n + m] = Float(Int32(tripled >> 8) - 1) * d
          rest = UInt8(truncatingIfNeeded: tripled)
        }
      }
    }
  }
}

/// ```
/// byte 0          64  66
///      qs 64 B    d        w = (q - 1) * d
/// ```
///
/// Byte `l` of each 32 holds weights `l`, `l + 32`, `l + 64`, `l + 96` of a half, lowest bits first.
func decodeTQ2_0(_ bytes: RawSpan, into values: inout MutableSpan<Float>) {
  for block in 0..<bytes.byteCount / 66 {
    let start = 66 * block
    let d = bytes.half(at: start + 64)
    for run in 0..<8 {
      for l in 0..<32 {
        let code = bytes.byte(at: start + run / 4 * 32 + l) >> UInt8(run % 4 * 2) & 3
        values[256 * block + 32 * run + l] = Float(Int32(code) - 1) * d
      }
    }
  }
}

/// ```
/// byte 0   2          18
///      d   qs 16 B        w = (2 q - 1) * d, bit i of byte k holds weight 8 k + i
/// ```
func decodeQ1_0(_ bytes: RawSpan, into values: inout MutableSpan<Float>) {
  for block in 0..<bytes.byteCount / 18 {
    let start = 18 * block
    let d = bytes.half(at: start)
    for i in 0..<128 {
      let code = bytes.byte(at: start + 2 + i / 8) >> UInt8(i % 8) & 1
      values[128 * block + i] = code == 0 ? -d : d
    }
  }
}

/// ```
/// byte 0   2          18
///      d   qs 16 B        w = (q - 1) * d, byte k holds weights 4 k ..< 4 k + 4, lowest bits first
/// ```
func decodeQ2_0(_ bytes: RawSpan, into values: inout MutableSpan<Float>) {
  for block in 0..<bytes.byteCount / 18 {
    let start = 18 * block
    let d = bytes.half(at: start)
    for i in 0..<64 {
      let code = bytes.byte(at: start + 2 + i / 4) >> UInt8(i % 4 * 2) & 3
      values[64 * block + i] = Float(Int32(code) - 1) * d
    }
  }
}
