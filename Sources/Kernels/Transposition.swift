import CKernels

/// The transpose of a matrix of values, `[rowCount, columnCount]` to `[columnCount, rowCount]`.
package func transposed<T>(_ values: [T], rowCount: Int, columnCount: Int) -> [T] {
  precondition(values.count == rowCount * columnCount, "\(values.count) values")
  guard rowCount > 1, columnCount > 1 else { return values }
  var result = values
  for row in 0..<rowCount {
    for column in 0..<columnCount { result[column * rowCount + row] = values[row * columnCount + column] }
  }
  return result
}

/// Writes the transpose of a matrix.
///
/// - Parameters:
///   - source: `[rows, columns]`, not transposed itself.
///   - target: `[columns, rows]`.
///   - set: The instructions to use.
package func transpose(
  _ source: MatrixView<Float>, into target: inout MutableMatrixView<Float>, on set: InstructionSet = .best
) {
  let (from, to) = (source.layout, target.layout)
  precondition(
    from.columnStride == 1 && from.rowCount == to.columnCount && from.columnCount == to.rowCount,
    "[\(from.rowCount), \(from.columnCount)] into [\(to.rowCount), \(to.columnCount)]")
  guard from.rowCount > 0, from.columnCount > 0 else { return }
  unsafe reading(source.elements) { source in
    unsafe writing(&target.elements) { target in
      unsafe ck_transpose(
        set.rawValue, source.map { unsafe $0 + from.offset }, from.rowCount, from.columnCount, from.rowStride,
        target.map { unsafe $0 + to.offset }, to.rowStride)
    }
  }
}
