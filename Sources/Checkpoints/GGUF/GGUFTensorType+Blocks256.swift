// Blocks of 256 weights in runs of 16 or 32 with a scale of their own.

/// ```
/// byte 0              16          80  82    84
///      scales 16 B    qs 64 B     d   dmin      w = d * low(scale) * q - dmin * high(scale)
/// ```
///
/// Byte `l` of each 32 of `qs` holds weights `l`, `l + 32`, `l + 64`, `l + 96` of a half, lowest bits first.
/// Each scale covers 16 weights.
func decodeQ2K(_ bytes: RawSpan, into values: inout MutableSpan<Float>) {
  for block in 0..<bytes.byteCount / 84 {
    let start = 84 * block
    let d = bytes.half(at: start + 80)
    let dmin = bytes.half(at: start + 82)
    for run in 0..<16 {
      let scale = bytes.byte(at: start + run)
      let dl = d * Float(scale & 15)
      let ml = dmin * Float(scale >> 4)
      let codes = start + 16 + run / 8 * 32 + run % 2 * 16
      let shift = UInt8(run % 8 / 2 * 2)
      for l in 0..<16 {
        values[256 * block + 16 * run + l] = dl * Float(bytes.byte(at: codes + l) >> shift & 3) - ml
      }
    }
  }
}

/// ```
/// byte 0             32         96             108  110
///      hmask 32 B    qs 64 B    scales 12 B    d          w = d * (scale - 32) * (q - 4)
/// ```
///
/// The lower two bits of a code are as in Q2_K; the third one is bit `weight / 32` of `hmask[weight % 32]`.
/// Scales have 6 bits: four in the halves of the first 8 bytes, two in the last 4.
func decodeQ3K(_ bytes: RawSpan, into values: inout MutableSpan<Float>) {
  for block in 0..<bytes.byteCount / 110 {
    let start = 110 * block
    let d = bytes.half(at: start + 108)
    for run in 0..<16 {
      let lower = bytes.byte(at: start + 96 + run % 8) >> UInt8(run / 8 * 4) & 15
      let upper = bytes.byte(at: start + 104 + run % 4) >> UInt8(run / 4 * 2) & 3
      let dl = d * Float(Int32(lower | upper << 4) - 32)
      let codes = start + 32 + run / 8 * 32 + run % 2 * 16
      let mask = start + run % 2 * 16
      for l in 0..<16 {
        let low = bytes.byte(at: codes + l) >> UInt8(run % 8 / 2 * 2) & 3
        let high = bytes.byte(at: mask + l) >> UInt8(run / 2) & 1
        values[256 * block + 16 * run + l] = dl * Float(Int32(low | high << 2) - 4)
      }
    }
  }
}

/// The 6-bit scale and minimum of a run of 32 weights in Q4_K and Q5_K.
///
/// ```
/// bytes 0..3    scales 0..3, above them the upper bits of scales 4..7
/// bytes 4..7    minima 0..3, above them the upper bits of minima 4..7
/// bytes 8..11   lower half: scales 4..7, upper half: minima 4..7
/// ```
private func scaleAndMinimum(_ bytes: RawSpan, at start: Int, run: Int) -> (scale: Float, minimum: Float) {
  let scale = bytes.byte(at: start + run % 4)
  let minimum = bytes.byte(at: start + 4 + run % 4)
  guard run >= 4 else { return (Float(scale & 63), Float(minimum & 63)) }
  let lower = bytes.byte(at: start + 4 + run)
  return (Float(lower & 15 | (scale >> 6) << 4), Float(lower >> 4 | (minimum >> 6) << 4))
}

/// ```
/// byte 0   2      4              16           144
///      d   dmin   scales 12 B    qs 128 B          w = d * scale * q - dmin * minimum
/// ```
///
/// Each 32 bytes of `qs` hold 32 weights in their lower and the next 32 in their upper halves.
func decodeQ4K(_ bytes: RawSpan, into values: inout MutableSpan<Float>) {
  for block in 0..<bytes.byteCount / 144 {
    let start = 144 * block
    let d = bytes.half(at: start)
    let dmin = bytes.half(at: start + 2)
    for run in 0..<8 {
      let (scale, minimum) = scaleAndMinimum(bytes, at: start + 4, run: run)
      let (dl, ml) = (d * scale, dmin * minimum)
      let codes = start + 16 + run / 2 * 32
      let shift = UInt8(run % 2 * 4)
      for l in 0..<32 {
        values[256 * block + 32 * run + l] = dl * Float(bytes.byte(at: codes + l) >> shift & 15) - ml
      }
    }
  }
}

/// ```
/// byte 0   2      4              16         48           176
///      d   dmin   scales 12 B    qh 32 B    qs 128 B          w = d * scale * q - dmin * minimum
/// ```
///
/// As Q4_K; bit 4 of a code is bit `weight / 32` of `qh[weight % 32]`.
func decodeQ5K(_ bytes: RawSpan, into values: inout MutableSpan<Float>) {
  for block in 0..<bytes.byteCount / 176 {
    let start = 176 * block
    let d = bytes.half(at: start)
    let dmin = bytes.half(at: start + 2)
    for run in 0..<8 {
      let (scale, minimum) = scaleAndMinimum(bytes, at: start + 4, run: run)
      let (dl, ml) = (d * scale, dmin * minimum)
      let codes = start + 48 + run / 2 * 32
      let shift = UInt8(run % 2 * 4)
      for l in 0..<32 {
        let low = bytes.byte(at: codes + l) >> shift & 15
        let high = bytes.byte(at: start + 16 + l) >> UInt8(run) & 1
        values[256 * block + 32 * run + l] = dl * Float(low | high << 4) - ml
      }
    }
  }
}

/// ```
/// byte 0           128        192            208  210
///      ql 128 B    qh 64 B    scales 16 B    d         w = d * scale * (q - 32), scales are signed bytes
/// ```
///
/// In each half of 128 weights, `ql[l]` holds the lower four bits of weights `l` and `l + 64` (`l` in
/// 0..<64), and `qh[l]` the upper two of `l`, `l + 32`, `l + 64`, `l + 96` (`l` in 0..<32).
func decodeQ6K(_ bytes: RawSpan, into values: inout MutableSpan<Float>) {
  for block in 0..<bytes.byteCount / 210 {
    let start = 210 * block
    let d = bytes.half(at: start + 208)
    for run in 0..<16 {
      let dl = d * Float(Int8(bitPattern: bytes.byte(at: start + 192 + run)))
      let inHalf = run % 8 * 16
      let lower = start + run / 8 * 64 + inHalf % 64
      let upper = start + 128 + run / 8 * 32 + inHalf % 32
      for l in 0..<16 {
        let low = bytes.byte(at: lower + l) >> UInt8(inHalf / 64 * 4) & 15
        let high = bytes.byte(at: upper + l) >> UInt8(inHalf / 32 * 2) & 3
        values[256 * block + 16 * run + l] = dl * Float(Int32(low | high << 4) - 32)
      }
    }
  }
}
