/// A matrix that is an operand of several products, rounded once for all of them if they round operands.
package struct RoundedMatrix: Sendable {
  private static let rowsPerChunk = 32
  /// The matrix, not rounded.
  package let matrix: Matrix
  /// Its elements as bf16, row-major; empty if products do not round operands.
  package let halves: [UInt8]

  /// Rounds a matrix like the products with these operands on this processor.
  package init(_ matrix: Matrix, for operands: ProductOperands) {
    self.matrix = matrix
    guard operands.onThisProcessor == .bf16, matrix.columnCount > 0 else {
      halves = []
      return
    }
    let columnCount = matrix.columnCount
    var bytes = [UInt8](repeating: 0, count: 2 * matrix.values.count)
    var span = bytes.mutableSpan
    parallelRows(of: &span, columnCount: 2 * columnCount, rowsPerChunk: Self.rowsPerChunk) { rows, part in
      let values = rows.lowerBound * columnCount..<rows.upperBound * columnCount
      narrow(matrix.values.span.extracting(values), to: .bf16, into: &part)
    }
    halves = bytes
  }
}
