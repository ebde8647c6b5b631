import Kernels

/// Codes and tables taken over: the same weights in other blocks.
extension GGUFEncoding {
  /// Writes a row of codes with its tables as blocks; the tables are rounded to F16.
  ///
  /// - Parameters:
  ///   - codes: The codes of the row, packed.
  ///   - parameters: How they are packed; `GGUFEncoding.obstacle` has nothing against them.
  ///   - scales: One a group.
  ///   - biases: One a group.
  ///   - bytes: The blocks of the row.
  func takeOver(
    _ codes: RawSpan, _ parameters: QuantizationParameters, _ scales: Span<Float>, _ biases: Span<Float>,
    into bytes: inout MutableSpan<UInt8>
  ) {
    let (blockSize, blockByteCount) = (type.blockElementCount, type.blockByteCount)
    let halfScales = narrowed(scales, to: .f16)
    let halfBiases = type == .q4_1 ? narrowed(biases, to: .f16) : []
    var unpacked = [UInt8](repeating: 0, count: codes.byteCount * 8 / parameters.bits)
    var span = unpacked.mutableSpan
    unpackCodes(codes, bits: parameters.bits, into: &span)
    let all = unpacked.span
    for block in 0..<all.count / blockSize {
      let group = block * blockSize / parameters.groupSize
      var target = bytes._mutatingExtracting(block * blockByteCount..<(block + 1) * blockByteCount)
      target[0] = halfScales[2 * group]
      target[1] = halfScales[2 * group + 1]
      let codes = all.extracting(block * blockSize..<(block + 1) * blockSize)
      switch type {
      case .q4_1:
        target[2] = halfBiases[2 * group]
        target[3] = halfBiases[2 * group + 1]
        Self.packNibbles(codes, into: &target, at: 4)
      case .q2_0: Self.packPairs(codes, into: &target, at: 2)
      case .q8_0: for i in codes.indices { target[2 + i] = codes[i] &- 128 }
      default: preconditionFailure("\(type.name) has no codes")
      }
    }
  }

  /// Codes `j` and `j + 16` share a byte, the first in its low half.
  static func packNibbles(_ codes: Span<UInt8>, into bytes: inout MutableSpan<UInt8>, at start: Int) {
    let half = codes.count / 2
    for j in 0..<half { bytes[start + j] = codes[j] | codes[half + j] << 4 }
  }

  /// Four codes a byte, the first in the lowest bits.
  static func packPairs(_ codes: Span<UInt8>, into bytes: inout MutableSpan<UInt8>, at start: Int) {
    for j in 0..<codes.count / 4 {
      bytes[start + j] = codes[4 * j] | codes[4 * j + 1] << 2 | codes[4 * j + 2] << 4 | codes[4 * j + 3] << 6
    }
  }

  /// Why codes of a kind have no place in the blocks of a type, or nil when they have.
  static func obstacle(_ parameters: QuantizationParameters, in type: GGUFTensorType) -> String? {
    let bits = parameters.bits
    let fits =
      switch type {
      case .q4_1: bits <= 4
      case .q2_0: bits == 2
      case .q8_0: bits == 8
      default: false
      }
    guard fits else { return "\(type.name) does not hold \(bits)-bit codes" }
    guard parameters.groupSize % type.blockElementCount == 0 else {
      return "\(type.name) has blocks of \(type.blockElementCount), which do not divide groups of "
        + "\(parameters.groupSize)"
    }
    return nil
  }

  /// Whether every level of every group is the same number in the blocks of a type, whatever the sign of a zero.
  ///
  /// - Parameters:
  ///   - bits: The width of a code; all of its values are compared.
  ///   - scales: The scales of all groups.
  ///   - biases: The biases of all groups.
  ///   - type: Q4_1, Q2_0 or Q8_0, with nothing against the codes.
  /// - Returns: Nil when all are equal, otherwise the first group that differs and the reason.
  static func levelsDiffer(
    bits: Int, _ scales: [Float], _ biases: [Float], in type: GGUFTensorType
  ) -> (group: Int, reason: String)? {
    let halfScales = widened(narrowed(scales, to: .f16), from: .f16)
    let halfBiases = widened(narrowed(biases, to: .f16), from: .f16)
    let codes = (0..<1 << bits).map { Float($0) }
    for group in scales.indices {
      let (scale, bias) = (scales[group], biases[group])
      let (half, halfBias) = (halfScales[group], halfBiases[group])
      for code in codes {
        let product = scale * code
        let level =
          switch type {
          case .q2_0: (code - 1) * half
          case .q8_0: (code - 128) * half
          default: half * code + halfBias
          }
        guard product + bias == level else {
          return (group, Self.reason(type, scale, bias, isScaleHalf: half == scale, halfBias == bias))
        }
      }
    }
    return nil
  }

  private static func reason(
    _ type: GGUFTensorType, _ scale: Float, _ bias: Float, isScaleHalf: Bool, _ isBiasHalf: Bool
  ) -> String {
    if !isScaleHalf { return "\(type.name) has F16 scales, which do not hold \(scale)" }
    if type == .q4_1 {
      return isBiasHalf ? "its levels are not finite" : "Q4_1 has F16 biases, which do not hold \(bias)"
    }
    let zero = type == .q2_0 ? "-scale" : "-128 * scale"
    return "\(type.name) has no biases but \(zero), and there is one of \(bias) with the scale \(scale)"
  }
}

/// Floats rounded to a format, as bytes.
func narrowed(_ values: Span<Float>, to format: FloatFormat) -> [UInt8] {
  var bytes = [UInt8](repeating: 0, count: values.count * format.byteWidth)
  var span = bytes.mutableSpan
  narrow(values, to: format, into: &span)
  return bytes
}
