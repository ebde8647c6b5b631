import Kernels

/// Takes over codes and tables: the same weights in other blocks.
extension GGUFEncoding {
  /// Writes a row of codes with its tables as blocks; the tables are rounded to F16.
  ///
  /// - Parameters:
  ///   - codes: The codes of the row, packed.
  ///   - layout: How they are packed; `GGUFEncoding.obstacle` must return nil for it.
  ///   - scales: One per group.
  ///   - biases: One per group.
  ///   - columnOrder: The order of the columns in the file, in which those of a block stay together.
  ///   - bytes: The blocks of the row.
  func takeOver(
    _ codes: RawSpan, _ layout: QuantizedLayout, _ scales: Span<Float>, _ biases: Span<Float>,
    columnOrder: GGUFRowOrder, into bytes: inout MutableSpan<UInt8>
  ) {
    let (blockSize, blockByteCount) = (type.blockElementCount, type.blockByteCount)
    let kind = GGUFCodes(type)
    let isMirrored = scales.indices.map { kind?.isMirrored(scale: scales[$0], bias: biases[$0]) == true }
    let halfScales = narrowed(scales.indices.map { isMirrored[$0] ? -scales[$0] : scales[$0] }, to: .f16)
    let halfBiases = kind?.zeroPoint == nil ? narrowed(biases, to: .f16) : []
    var unpacked = [UInt8](repeating: 0, count: codes.byteCount * 8 / layout.bits)
    var span = unpacked.mutableSpan
    unpackCodes(codes, bits: layout.bits, into: &span)
    let greatest = UInt8(kind?.greatestCode ?? 0)
    for group in isMirrored.indices where isMirrored[group] {
      for i in group * layout.groupSize..<(group + 1) * layout.groupSize { span[i] = greatest - span[i] }
    }
    let all = unpacked.span
    for block in 0..<all.count / blockSize {
      let start = columnOrder.source(of: block * blockSize)
      let group = start / layout.groupSize
      var target = bytes.slice(block * blockByteCount..<(block + 1) * blockByteCount)
      target[0] = halfScales[2 * group]
      target[1] = halfScales[2 * group + 1]
      let codes = all.extracting(start..<start + blockSize)
      if !halfBiases.isEmpty {
        target[2] = halfBiases[2 * group]
        target[3] = halfBiases[2 * group + 1]
      }
      switch type {
      case .q4_0: Self.packNibbles(codes, into: &target, at: 2)
      case .q4_1: Self.packNibbles(codes, into: &target, at: 4)
      case .q5_0:
        Self.packHighBits(codes, into: &target, at: 2)
        Self.packNibbles(codes, into: &target, at: 6)
      case .q5_1:
        Self.packHighBits(codes, into: &target, at: 4)
        Self.packNibbles(codes, into: &target, at: 8)
      case .q2_0: Self.packPairs(codes, into: &target, at: 2)
      case .q8_0: for i in codes.indices { target[2 + i] = codes[i] &- 128 }
      default: preconditionFailure("\(type.name) has no codes")
      }
    }
  }

  /// Packs the low four bits of codes; codes `j` and `j + 16` share a byte, the first in its low half.
  static func packNibbles(_ codes: Span<UInt8>, into bytes: inout MutableSpan<UInt8>, at start: Int) {
    let half = codes.count / 2
    for j in 0..<half { bytes[start + j] = codes[j] & 15 | codes[half + j] << 4 }
  }

  /// Packs bit 4 of codes; that of code `i` becomes bit `i` of a word.
  private static func packHighBits(
    _ codes: Span<UInt8>, into bytes: inout MutableSpan<UInt8>, at start: Int
  ) {
    for j in 0..<codes.count / 8 {
      bytes[start + j] = (0..<8).reduce(0) { $0 | (codes[8 * j + $1] >> 4 & 1) << UInt8($1) }
    }
  }

  /// Packs four codes per byte, the first in the lowest bits.
  static func packPairs(_ codes: Span<UInt8>, into bytes: inout MutableSpan<UInt8>, at start: Int) {
    for j in 0..<codes.count / 4 {
      bytes[start + j] = codes[4 * j] | codes[4 * j + 1] << 2 | codes[4 * j + 2] << 4 | codes[4 * j + 3] << 6
    }
  }

  /// Why the blocks of a type cannot hold codes of a layout, or nil when they can.
  ///
  /// The type may also limit the values of 8-bit codes; see `GGUFCodes.greatestCode`.
  static func obstacle(_ layout: QuantizedLayout, in type: GGUFTensorType) -> String? {
    if layout.superBlock != nil || type.superBlock != nil {
      return layout.superBlock == type.superBlock
        ? nil : "\(type.name) does not hold codes of \(layout.phrase)"
    }
    // TQ2_0 and Q1_0 are only read, never written.
    guard type != .tq2_0, type != .q1_0, GGUFCodes(type)?.moduleBits.contains(layout.bits) == true else {
      return "\(type.name) does not hold \(layout.bits)-bit codes"
    }
    guard layout.groupSize % type.blockElementCount == 0 else {
      return "\(type.name) has blocks of \(type.blockElementCount), which do not divide groups of "
        + "\(layout.groupSize)"
    }
    return nil
  }

  /// Compares every level of every group with its value in the blocks of a type, ignoring the sign of zero.
  ///
  /// - Parameters:
  ///   - bits: The width of a code; all values that the type can hold are compared.
  ///   - scales: The scales of all groups.
  ///   - biases: The biases of all groups.
  ///   - type: A type for which `obstacle` returns nil.
  /// - Returns: Nil when all are equal, otherwise the first group that differs and the reason.
  static func levelsDiffer(
    bits: Int, _ scales: [Float], _ biases: [Float], in type: GGUFTensorType
  ) -> (group: Int, reason: String)? {
    let halfScales = widened(narrowed(scales, to: .f16), from: .f16)
    let halfBiases = widened(narrowed(biases, to: .f16), from: .f16)
    guard let kind = GGUFCodes(type) else { preconditionFailure("\(type.name) has no codes") }
    let codes = (0...min(1 << bits - 1, kind.greatestCode)).map { Float($0) }
    for group in scales.indices {
      let (scale, bias) = (scales[group], biases[group])
      let (half, halfBias) = (halfScales[group], halfBiases[group])
      let zero = kind.isMirrored(scale: scale, bias: bias) ? kind.mirroredZeroPoint : kind.zeroPoint
      // Equal tables make equal levels. With a zero point both sides are exact: a code of 8 bits times a half
      // float has at most 19 bits.
      let isBiasEqual = zero.map { bias == -$0 * half } ?? (halfBias == bias)
      if half == scale, isBiasEqual, scale.isFinite, bias.isFinite { continue }
      for code in codes {
        let product = scale * code
        let level = zero.map { (code - $0) * half } ?? half * code + halfBias
        guard product + bias == level else {
          return (group, Self.reason(kind, scale, bias, isScaleHalf: half == scale, halfBias == bias))
        }
      }
    }
    return nil
  }

  private static func reason(
    _ kind: GGUFCodes, _ scale: Float, _ bias: Float, isScaleHalf: Bool, _ isBiasHalf: Bool
  ) -> String {
    let name = kind.type.name
    if !isScaleHalf { return "\(name) has F16 scales, which do not hold \(scale)" }
    if let zero = kind.biasPhrase {
      return "\(name) has no biases but \(zero); a group has the bias \(bias) and the scale \(scale)"
    }
    return isBiasHalf ? "its levels are not finite" : "\(name) has F16 biases, which do not hold \(bias)"
  }
}

extension GGUFCodes {
  /// The biases that a group can have as a phrase, if they follow from the scale.
  var biasPhrase: String? {
    guard let zeroPoint, let mirroredZeroPoint else { return nil }
    return [zeroPoint, mirroredZeroPoint].map { $0 == 1 ? "-scale" : "-\(Int($0)) * scale" }
      .alternatives()
  }
}

/// Floats rounded to a format, as bytes.
func narrowed(_ values: Span<Float>, to format: FloatFormat) -> [UInt8] {
  var bytes = [UInt8](repeating: 0, count: values.count * format.byteWidth)
  var span = bytes.mutableSpan
  narrow(values, to: format, into: &span)
  return bytes
}
