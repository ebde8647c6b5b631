import Kernels

/// Rounds values to blocks like ggml's reference quantizers, in their order of operations.
extension GGUFEncoding {
  /// Writes a row of values.
  func round(_ values: Span<Float>, into bytes: inout MutableSpan<UInt8>) {
    switch type {
    case .f32: narrow(values, to: .f32, into: &bytes)
    case .f16: narrow(values, to: .f16, into: &bytes)
    case .bf16: narrow(values, to: .bf16, into: &bytes)
    default: roundBlocks(values, into: &bytes)
    }
  }

  private func roundBlocks(_ values: Span<Float>, into bytes: inout MutableSpan<UInt8>) {
    let size = type.blockElementCount
    let count = values.count / size
    var scales = [Float](repeating: 0, count: count)
    var minima = scales
    for block in 0..<count {
      let part = values.extracting(block * size..<(block + 1) * size)
      (scales[block], minima[block]) = scale(of: part)
    }
    let (halfScales, halfMinima) = (narrowed(scales, to: .f16), narrowed(minima, to: .f16))
    var codes = [UInt8](repeating: 0, count: size)
    for block in 0..<count {
      let part = values.extracting(block * size..<(block + 1) * size)
      find(&codes, of: part, scales[block], minima[block])
      var target = bytes.slice(block * type.blockByteCount..<(block + 1) * type.blockByteCount)
      target[0] = halfScales[2 * block]
      target[1] = halfScales[2 * block + 1]
      switch type {
      case .q4_1:
        target[2] = halfMinima[2 * block]
        target[3] = halfMinima[2 * block + 1]
        Self.packNibbles(codes.span, into: &target, at: 4)
      case .q2_0: Self.packPairs(codes.span, into: &target, at: 2)
      default: for i in codes.indices { target[2 + i] = codes[i] }
      }
    }
  }

  /// The scale and the least value of a block.
  private func scale(of values: Span<Float>) -> (scale: Float, minimum: Float) {
    var (least, greatest, size): (Float, Float, Float) = (values[0], values[0], 0)
    for i in values.indices {
      least = min(least, values[i])
      greatest = max(greatest, values[i])
      size = max(size, values[i].magnitude)
    }
    return switch type {
    case .q4_1: ((greatest - least) / 15, least)
    case .q8_0: (size / 127, 0)
    default: (size, 0)
    }
  }

  private func find(
    _ codes: inout [UInt8], of values: Span<Float>, _ scale: Float, _ minimum: Float
  ) {
    let inverse = scale == 0 ? 0 : 1 / scale
    for i in codes.indices {
      switch type {
      case .q4_1: codes[i] = Self.code((values[i] - minimum) * inverse + 0.5, in: 0...15)
      case .q8_0: codes[i] = Self.code((values[i] * inverse).rounded(), in: -127...127)
      default: codes[i] = Self.code((values[i] * inverse).rounded() + 1, in: 0...3)
      }
    }
  }

  /// The whole part of a number as the bits of a byte; NaN becomes the least code.
  private static func code(_ value: Float, in range: ClosedRange<Float>) -> UInt8 {
    let inside = value > range.lowerBound ? min(value, range.upperBound) : range.lowerBound
    return UInt8(bitPattern: Int8(inside))
  }

  /// Decodes the bytes of a row.
  package func decoded(_ bytes: [UInt8], columnCount: Int) -> [Float] {
    var values = [Float](repeating: 0, count: columnCount)
    var span = values.mutableSpan
    TensorBytes(bytes).withSpan { type.decode($0, into: &span) }
    return values
  }
}
