// Blocks of 256 weights in runs of 16 or 32 with a scale of their own. `GGUFSuperBlock` has the others.

/// ```
/// byte 0   2      4              16         48           176
///      d   dmin   scales 12 B    qh 32 B    qs 128 B          w = d * scale * q - dmin * minimum
/// ```
///
/// As in Q4_K, but bit 4 of a code is bit `weight / 32` of `qh[weight % 32]`.
func decodeQ5K(_ bytes: RawSpan, into values: inout MutableSpan<Float>) {
  for block in 0..<bytes.byteCount / 176 {
    let start = 176 * block
    let d = bytes.half(at: start)
    let dmin = bytes.half(at: start + 2)
    for run in 0..<8 {
      let (scale, minimum) = SuperBlock.q4K.steps(bytes.extracting(start + 4..<start + 16), group: run)
      let (dl, ml) = (d * Float(scale), dmin * Float(minimum))
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
