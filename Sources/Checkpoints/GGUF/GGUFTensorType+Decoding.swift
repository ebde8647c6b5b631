import Kernels

extension GGUFTensorType {
  /// Turns whole blocks into the floats they stand for.
  ///
  /// The products and sums are those of ggml in single precision, in its order, so that every bit agrees.
  ///
  /// - Parameters:
  ///   - bytes: Blocks of this type, one after the other.
  ///   - values: `blockElementCount` values for each block.
  package func decode(_ bytes: RawSpan, into values: inout MutableSpan<Float>) {
    precondition(
      bytes.byteCount % blockByteCount == 0
        && values.count == bytes.byteCount / blockByteCount * blockElementCount,
      "\(bytes.byteCount) bytes of \(name) for \(values.count) values")
    switch self {
    case .f32: widen(bytes, from: .f32, into: &values)
    case .f16: widen(bytes, from: .f16, into: &values)
    case .bf16: widen(bytes, from: .bf16, into: &values)
    case .q4_0: decodeQ4_0(bytes, into: &values)
    case .q4_1: decodeQ4_1(bytes, into: &values)
    case .q5_0: decodeQ5_0(bytes, into: &values)
    case .q5_1: decodeQ5_1(bytes, into: &values)
    case .q8_0: decodeQ8_0(bytes, into: &values)
    case .q2K: GGUFSuperBlock(.q2K).decode(bytes, into: &values)
    case .q3K: GGUFSuperBlock(.q3K).decode(bytes, into: &values)
    case .q4K: GGUFSuperBlock(.q4K).decode(bytes, into: &values)
    case .q5K: GGUFSuperBlock(.q5K).decode(bytes, into: &values)
    case .q6K: GGUFSuperBlock(.q6K).decode(bytes, into: &values)
    case .iq2XS: GGUFSuperBlock(.iq2XS).decode(bytes, into: &values)
    case .iq2S: GGUFSuperBlock(.iq2S).decode(bytes, into: &values)
    case .iq2XXS: decodeIQ2_XXS(bytes, into: &values)
    case .iq3XXS: decodeIQ3_XXS(bytes, into: &values)
    case .iq3S: decodeIQ3_S(bytes, into: &values)
    case .iq1S: decodeIQ1_S(bytes, into: &values)
    case .iq1M: decodeIQ1_M(bytes, into: &values)
    case .iq4NL: decodeIQ4_NL(bytes, into: &values)
    case .iq4XS: decodeIQ4_XS(bytes, into: &values)
    case .mxfp4: decodeMXFP4(bytes, into: &values)
    case .nvfp4: decodeNVFP4(bytes, into: &values)
    case .tq1_0: decodeTQ1_0(bytes, into: &values)
    case .tq2_0: decodeTQ2_0(bytes, into: &values)
    case .q1_0: decodeQ1_0(bytes, into: &values)
    case .q2_0: decodeQ2_0(bytes, into: &values)
    }
  }
}

extension RawSpan {
  /// The float of a half-precision number at an offset.
  func half(at offset: Int) -> Float { float(ofHalf: integer(at: offset)) }
}

/// The float of the bits of a half-precision number.
func float(ofHalf bits: UInt16) -> Float {
  let magnitude = UInt32(bits & 0x7FFF) << 13
  // The exponent moves from a bias of 15 to one of 127; the product also normalizes subnormals.
  let value =
    bits & 0x7C00 == 0x7C00
    ? Float(bitPattern: 0x7F80_0000 | magnitude) : Float(bitPattern: magnitude) * 0x1p112
  return bits & 0x8000 == 0 ? value : -value
}
