import Checkpoints
import Kernels

/// Converts stored elements of any dtype to doubles, exactly except for 64-bit integers beyond 2^53.
///
/// A complex element is two values, its real and its imaginary part.
struct ElementDecoder: Sendable {
  private enum Kind {
    case float(FloatFormat)
    case double
    case integer(byteWidth: Int, isSigned: Bool)
    case table([Double], bitWidth: Int)
  }

  private let kind: Kind
  /// The number of bits per value.
  let bitWidth: Int

  init(_ dtype: DType) {
    switch dtype {
    case .f32, .c64: kind = .float(.f32)
    case .f16: kind = .float(.f16)
    case .bf16: kind = .float(.bf16)
    case .f64: kind = .double
    case .bool, .u8, .u16, .u32, .u64: kind = .integer(byteWidth: dtype.bitWidth / 8, isSigned: false)
    case .i8, .i16, .i32, .i64: kind = .integer(byteWidth: dtype.bitWidth / 8, isSigned: true)
    case .f4, .f6E2M3, .f6E3M2, .f8E5M2, .f8E4M3, .f8E8M0, .f8E4M3FNUZ, .f8E5M2FNUZ:
      kind = .table(SmallFloat.table(of: dtype), bitWidth: dtype.bitWidth)
    }
    bitWidth = dtype == .c64 ? 32 : dtype.bitWidth
  }

  /// Returns the values in bytes that hold whole elements.
  func values(of bytes: RawSpan) -> [Double] {
    switch kind {
    case .float(let format): return widened(bytes, from: format).map(Double.init)
    case .double: return words(bytes, byteWidth: 8).map(Double.init(bitPattern:))
    case .integer(let byteWidth, let isSigned):
      let words = words(bytes, byteWidth: byteWidth)
      guard isSigned else { return words.map { Double($0) } }
      let shift = UInt64(64 - 8 * byteWidth)
      return words.map { Double(Int64(bitPattern: $0 << shift) >> Int64(shift)) }
    case .table(let table, let bitWidth):
      let bytes = bytes.copiedBytes()
      return (0..<bytes.count * 8 / bitWidth).map { table[code(at: $0, bitWidth, in: bytes)] }
    }
  }

  /// Reads little-endian words and extends them with zeros.
  private func words(_ bytes: RawSpan, byteWidth: Int) -> [UInt64] {
    let bytes = bytes.copiedBytes()
    return (0..<bytes.count / byteWidth).map { i in
      var word: UInt64 = 0
      for j in 0..<byteWidth { word |= UInt64(bytes[i * byteWidth + j]) << UInt64(8 * j) }
      return word
    }
  }

  /// Returns an element of 4, 6 or 8 bits; lower bits come first.
  private func code(at index: Int, _ bitWidth: Int, in bytes: [UInt8]) -> Int {
    let position = index * bitWidth
    let low = Int(bytes[position / 8])
    let high = position % 8 + bitWidth > 8 ? Int(bytes[position / 8 + 1]) : 0
    return (high << 8 | low) >> (position % 8) & (1 << bitWidth - 1)
  }
}

/// Floats of at most 8 bits: a sign, an exponent, a fraction, and the codes that are not finite.
private struct SmallFloat {
  let exponentBits: Int
  let fractionBits: Int
  let bias: Int
  /// Returns the value of a code that is not finite, or nil for finite codes.
  let special: (_ code: Int) -> Double?

  /// Returns the values of all codes of a dtype.
  ///
  /// - Source: the OCP 8-bit and microscaling formats; FNUZ as in ONNX.
  static func table(of dtype: DType) -> [Double] {
    if dtype == .f8E8M0 {
      return (0..<256).map { $0 == 255 ? .nan : Double(sign: .plus, exponent: $0 - 127, significand: 1) }
    }
    let format =
      switch dtype {
      case .f4: SmallFloat(exponentBits: 2, fractionBits: 1, bias: 1) { _ in nil }
      case .f6E2M3: SmallFloat(exponentBits: 2, fractionBits: 3, bias: 1) { _ in nil }
      case .f6E3M2: SmallFloat(exponentBits: 3, fractionBits: 2, bias: 3) { _ in nil }
      case .f8E5M2:
        SmallFloat(exponentBits: 5, fractionBits: 2, bias: 15) { code in
          guard code & 0x7C == 0x7C else { return nil }
          return code & 3 != 0 ? .nan : code & 0x80 == 0 ? .infinity : -.infinity
        }
      case .f8E4M3: SmallFloat(exponentBits: 4, fractionBits: 3, bias: 7) { $0 & 0x7F == 0x7F ? .nan : nil }
      case .f8E4M3FNUZ: SmallFloat(exponentBits: 4, fractionBits: 3, bias: 8) { $0 == 0x80 ? .nan : nil }
      case .f8E5M2FNUZ: SmallFloat(exponentBits: 5, fractionBits: 2, bias: 16) { $0 == 0x80 ? .nan : nil }
      default: preconditionFailure("\(dtype) has more than 8 bits")
      }
    return (0..<1 << dtype.bitWidth).map(format.value)
  }

  private func value(of code: Int) -> Double {
    if let special = special(code) { return special }
    let sign: FloatingPointSign = code >> (exponentBits + fractionBits) & 1 == 1 ? .minus : .plus
    let exponent = code >> fractionBits & (1 << exponentBits - 1)
    let fraction = Double(code & (1 << fractionBits - 1)) / Double(1 << fractionBits)
    let significand = exponent == 0 ? fraction : 1 + fraction
    return Double(sign: sign, exponent: max(exponent, 1) - bias, significand: significand)
  }
}
