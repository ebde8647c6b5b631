import CKernels

/// Multiplies quantized rows with one vector, without dequantizing the rows in memory.
///
/// `y[r]` is the sum over groups of `scale * sum(code * x) + bias * groupSum`. Sums may differ in their last
/// bits between instruction sets.
///
/// - Parameters:
///   - codes: Whole rows, packed as `packCodes` does.
///   - bits: 2, 3, 4, 5, 6 or 8.
///   - groupSize: Columns per group: a multiple of 8 that divides `columnCount`.
///   - columnCount: Columns per row.
///   - scales: `[rows, columnCount / groupSize]`.
///   - biases: `[rows, columnCount / groupSize]`.
///   - x: `[columnCount]`.
///   - groupSums: `[columnCount / groupSize]`, the sum of `x` over each group; see `poolGroups`.
///   - y: `[rows]`.
///   - set: The instructions to use.
package func multiplyPackedRows(
  codes: RawSpan, bits: Int, groupSize: Int, columnCount: Int, scales: Span<Float>, biases: Span<Float>,
  x: Span<Float>, groupSums: Span<Float>, into y: inout MutableSpan<Float>, on set: InstructionSet = .best
) {
  let layout = KernelLayout(
    bits: bits, groupSize: groupSize, columnCount: columnCount, rowCount: y.count)
  layout.require(codeBytes: codes.byteCount, scales: scales.count, biases: biases.count)
  precondition(
    x.count == columnCount && groupSums.count == layout.groupsPerRow,
    "\(x.count) values and \(groupSums.count) sums for \(columnCount) columns")
  unsafe writing(&y) { y in
    unsafe reading(scales, biases) { scales, biases in
      unsafe reading(x, groupSums) { x, groupSums in
        unsafe reading(codes) { codes in
          unsafe ck_multiply_packed_rows(set.rawValue, layout.forC, codes, scales, biases, x, groupSums, y)
        }
      }
    }
  }
}

/// `multiplyPackedRows` as a plain loop in double precision, which defines it.
package func multiplyPackedRowsReference(
  codes: RawSpan, bits: Int, groupSize: Int, columnCount: Int, scales: Span<Float>, biases: Span<Float>,
  x: Span<Float>, into y: inout MutableSpan<Float>
) {
  for row in y.indices {
    var sum = 0.0
    for column in 0..<columnCount {
      let group = (row * columnCount + column) / groupSize
      let code = Double(code(at: row * columnCount + column, bits: bits, in: codes))
      sum += (Double(scales[group]) * code + Double(biases[group])) * Double(x[column])
    }
    y[row] = Float(sum)
  }
}
