import CKernels

/// Computes the weights of quantized rows: `scale * code + bias`, the product and the sum each rounded.
///
/// - Parameters:
///   - codes: Whole rows, packed as `packCodes` does.
///   - bits: 2, 3, 4, 5, 6 or 8.
///   - groupSize: Columns per group: a multiple of 8 that divides `columnCount`.
///   - columnCount: Columns per row.
///   - scales: `[rows, columnCount / groupSize]`.
///   - biases: `[rows, columnCount / groupSize]`.
///   - weights: `[rows, columnCount]`; its size determines the number of rows.
///   - set: The instructions to use.
package func dequantize(
  codes: RawSpan, bits: Int, groupSize: Int, columnCount: Int, scales: Span<Float>, biases: Span<Float>,
  into weights: inout MutableSpan<Float>, on set: InstructionSet = .best
) {
  dequantize(
    codes: codes, bits: bits, groupSize: groupSize, columnCount: columnCount, scales: scales,
    biases: biases, groups: 0..<columnCount / max(groupSize, 1), into: &weights, on: set)
}

/// Computes the weights of some groups of each quantized row.
///
/// - Parameters:
///   - codes: Whole rows, packed as `packCodes` does.
///   - bits: 2, 3, 4, 5, 6 or 8.
///   - groupSize: Columns per group: a multiple of 8 that divides `columnCount`.
///   - columnCount: Columns per row.
///   - scales: `[rows, columnCount / groupSize]`.
///   - biases: `[rows, columnCount / groupSize]`.
///   - groups: The groups of each row to compute; not empty.
///   - weights: `[rows, groups.count * groupSize]`; its size determines the number of rows.
///   - set: The instructions to use.
package func dequantize(
  codes: RawSpan, bits: Int, groupSize: Int, columnCount: Int, scales: Span<Float>, biases: Span<Float>,
  groups: Range<Int>, into weights: inout MutableSpan<Float>, on set: InstructionSet = .best
) {
  let layout = KernelLayout(
    of: weights.count, bits: bits, groupSize: groupSize, columnCount: columnCount, groups: groups)
  layout.require(codeBytes: codes.byteCount, scales: scales.count, biases: biases.count)
  unsafe writing(&weights) { weights in
    unsafe reading(scales, biases) { scales, biases in
      unsafe reading(codes) { codes in
        unsafe ck_dequantize(
          set.rawValue, layout.forC, codes, scales, biases, groups.lowerBound, groups.count, weights)
      }
    }
  }
}

/// Computes the weights of some groups of each quantized row as bf16, each rounded to the nearest, half to even.
///
/// - Parameters:
///   - codes: Whole rows, packed as `packCodes` does.
///   - bits: 2, 3, 4, 5, 6 or 8.
///   - groupSize: Columns per group: a multiple of 8 that divides `columnCount`.
///   - columnCount: Columns per row.
///   - scales: `[rows, columnCount / groupSize]`.
///   - biases: `[rows, columnCount / groupSize]`.
///   - groups: The groups of each row to compute; not empty.
///   - weights: `[rows, groups.count * groupSize]`, two bytes each; its size determines the number of rows.
///   - set: The instructions to use.
package func dequantizeToBF16(
  codes: RawSpan, bits: Int, groupSize: Int, columnCount: Int, scales: Span<Float>, biases: Span<Float>,
  groups: Range<Int>, into weights: inout MutableSpan<UInt8>, on set: InstructionSet = .best
) {
  precondition(weights.count % 2 == 0, "\(weights.count) bytes")
  let layout = KernelLayout(
    of: weights.count / 2, bits: bits, groupSize: groupSize, columnCount: columnCount, groups: groups)
  layout.require(codeBytes: codes.byteCount, scales: scales.count, biases: biases.count)
  unsafe writing(&weights) { weights in
    unsafe reading(scales, biases) { scales, biases in
      unsafe reading(codes) { codes in
        unsafe ck_dequantize_bf16(
          set.rawValue, layout.forC, codes, scales, biases, groups.lowerBound, groups.count, weights)
      }
    }
  }
}

/// `dequantize` as a plain loop, which defines it.
package func dequantizeReference(
  codes: RawSpan, bits: Int, groupSize: Int, columnCount: Int, scales: Span<Float>, biases: Span<Float>,
  groups: Range<Int>, into weights: inout MutableSpan<Float>
) {
  let layout = KernelLayout(
    of: weights.count, bits: bits, groupSize: groupSize, columnCount: columnCount, groups: groups)
  let width = groups.count * groupSize
  for i in weights.indices {
    let row = i / width
    let column = groups.lowerBound * groupSize + i % width
    let group = row * layout.groupsPerRow + column / groupSize
    let code = Float(code(at: row * columnCount + column, bits: bits, in: codes))
    let product = scales[group] * code
    weights[i] = product + biases[group]
  }
}

extension KernelLayout {
  fileprivate init(of weightCount: Int, bits: Int, groupSize: Int, columnCount: Int, groups: Range<Int>) {
    let width = groups.count * groupSize
    precondition(width > 0 && weightCount % width == 0, "\(weightCount) weights, \(width) of each row")
    self.init(bits: bits, groupSize: groupSize, columnCount: columnCount, rowCount: weightCount / width)
    precondition(
      groups.lowerBound >= 0 && groups.upperBound <= groupsPerRow, "groups \(groups) of \(groupsPerRow)")
  }
}
