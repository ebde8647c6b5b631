// Blocks of 32 weights. A byte of `qs` holds code `j` in its lower and code `j + 16` in its upper half.

/// ```
/// byte 0   2                18
///      d   qs 16 bytes           w = d * (q - 8)
/// ```
func decodeQ4_0(_ bytes: RawSpan, into values: inout MutableSpan<Float>) {
  for block in 0..<bytes.byteCount / 18 {
    let (start, first) = (18 * block, 32 * block)
    let d = bytes.half(at: start)
    for j in 0..<16 {
      let byte = Int32(bytes.byte(at: start + 2 + j))
      values[first + j] = d * Float(byte & 15 - 8)
      values[first + j + 16] = d * Float(byte >> 4 - 8)
    }
  }
}

/// ```
/// byte 0   2   4                20
///      d   m   qs 16 bytes           w = d * q + m
/// ```
func decodeQ4_1(_ bytes: RawSpan, into values: inout MutableSpan<Float>) {
  for block in 0..<bytes.byteCount / 20 {
    let (start, first) = (20 * block, 32 * block)
    let d = bytes.half(at: start)
    let m = bytes.half(at: start + 2)
    for j in 0..<16 {
      let byte = Int32(bytes.byte(at: start + 4 + j))
      values[first + j] = d * Float(byte & 15) + m
      values[first + j + 16] = d * Float(byte >> 4) + m
    }
  }
}

/// ```
/// byte 0   2         6                22
///      d   qh u32    qs 16 bytes           w = d * (q - 16), bit 4 of code i is bit i of qh
/// ```
func decodeQ5_0(_ bytes: RawSpan, into values: inout MutableSpan<Float>) {
  for block in 0..<bytes.byteCount / 22 {
    let (start, first) = (22 * block, 32 * block)
    let d = bytes.half(at: start)
    let high: UInt32 = bytes.integer(at: start + 2)
    for j in 0..<16 {
      let byte = Int32(bytes.byte(at: start + 6 + j))
      let upper = (Int32(high >> UInt32(j) & 1) << 4, Int32(high >> UInt32(j + 16) & 1) << 4)
      values[first + j] = d * Float(byte & 15 + upper.0 - 16)
      values[first + j + 16] = d * Float(byte >> 4 + upper.1 - 16)
    }
  }
}

/// ```
/// byte 0   2   4         8                24
///      d   m   qh u32    qs 16 bytes           w = d * q + m, bit 4 of code i is bit i of qh
/// ```
func decodeQ5_1(_ bytes: RawSpan, into values: inout MutableSpan<Float>) {
  for block in 0..<bytes.byteCount / 24 {
    let (start, first) = (24 * block, 32 * block)
    let d = bytes.half(at: start)
    let m = bytes.half(at: start + 2)
    let high: UInt32 = bytes.integer(at: start + 4)
    for j in 0..<16 {
      let byte = Int32(bytes.byte(at: start + 8 + j))
      let upper = (Int32(high >> UInt32(j) & 1) << 4, Int32(high >> UInt32(j + 16) & 1) << 4)
      values[first + j] = d * Float(byte & 15 + upper.0) + m
      values[first + j + 16] = d * Float(byte >> 4 + upper.1) + m
    }
  }
}

/// ```
/// byte 0   2                  34
///      d   q 32 signed bytes       w = q * d
/// ```
func decodeQ8_0(_ bytes: RawSpan, into values: inout MutableSpan<Float>) {
  for block in 0..<bytes.byteCount / 34 {
    let start = 34 * block
    let d = bytes.half(at: start)
    for j in 0..<32 {
      values[32 * block + j] = Float(Int8(bitPattern: bytes.byte(at: start + 2 + j))) * d
    }
  }
}

/// ```
/// byte 0   1                17
///      e   qs 16 bytes           w = 2^(e - 128) * v, v: 0 1 2 3 4 6 8 12, the uppermost bit of a code negates
/// ```
///
/// Source: OCP Microscaling Formats, version 1.0, MXFP4; the halves of its values are in the exponent here.
func decodeMXFP4(_ bytes: RawSpan, into values: inout MutableSpan<Float>) {
  let numbers = doubledE2M1
  for block in 0..<bytes.byteCount / 17 {
    let (start, first) = (17 * block, 32 * block)
    let exponent = UInt32(bytes.byte(at: start))
    // The two least powers are subnormal.
    let scale = Float(bitPattern: exponent < 2 ? 0x0020_0000 << exponent : (exponent - 1) << 23)
    for j in 0..<16 {
      let byte = Int(bytes.byte(at: start + 1 + j))
      values[first + j] = scale * numbers[byte & 15]
      values[first + j + 16] = scale * numbers[byte >> 4]
    }
  }
}

/// ```
/// byte 0          4
///      d 4 bytes  qs 32 bytes    w = d * v / 2 with v as in MXFP4, d in E4M3 without its sign, for 16 weights each
/// ```
///
/// The lower halves of eight bytes are the first eight of 16 weights. 0x7F is 0, as ggml has it.
func decodeNVFP4(_ bytes: RawSpan, into values: inout MutableSpan<Float>) {
  let numbers = doubledE2M1
  for part in 0..<bytes.byteCount / 9 {
    let (block, quarter) = part.quotientAndRemainder(dividingBy: 4)
    let byte = bytes.byte(at: 36 * block + quarter)
    let (exponent, digits) = (Int(byte >> 3 & 15), Float(byte & 7))
    let size =
      exponent == 0
      ? digits * 0x1p-9 : Float(sign: .plus, exponent: exponent - 7, significand: 1 + digits / 8)
    let scale = byte == 0x7F ? 0 : size / 2
    for j in 0..<8 {
      let codes = Int(bytes.byte(at: 36 * block + 4 + 8 * quarter + j))
      values[16 * part + j] = scale * numbers[codes & 15]
      values[16 * part + j + 8] = scale * numbers[codes >> 4]
    }
  }
}

/// Twice the values of E2M1.
private let doubledE2M1: [Float] = {
  let magnitudes: [Int32] = [0, 1, 2, 3, 4, 6, 8, 12]
  return (magnitudes + magnitudes.map { -$0 }).map { Float($0) }
}()
