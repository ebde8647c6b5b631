package import Kernels

/// The moments of two vectors, `E[x · yᵀ]`: products of a window in f32, added up in double precision.
package struct CrossMoments: Sendable {
  private static let rowsPerChunk = 96
  private var sums: DoubleMatrix
  private var count = 0

  /// Begins with zeros.
  package init(rows: Int, columns: Int) { sums = DoubleMatrix(rows: rows, columns: columns) }

  /// Adds the tokens of a window.
  ///
  /// - Parameters:
  ///   - x: A matrix with a row for each token.
  ///   - features: The columns of x that are taken, as many as the moments have rows.
  ///   - y: `[tokens, columns]`.
  package mutating func add(_ x: Matrix, _ features: Range<Int>, _ y: Matrix) {
    precondition(features.count == sums.rowCount && y.columnCount == sums.columnCount)
    count += x.rowCount
    let (tokens, columns) = (0..<x.rowCount, sums.columnCount)
    var span = sums.values.mutableSpan
    parallelRows(of: &span, columnCount: columns, rowsPerChunk: Self.rowsPerChunk) { rows, part in
      let taken = features.lowerBound + rows.lowerBound..<features.lowerBound + rows.upperBound
      ScratchPool.shared.withScratch(part.count) { product in
        multiply(
          .transposedLeft, x.values.span, x.layout[tokens, taken], y.values.span, y.layout, into: &product,
          MatrixLayout(rows: rows.count, columns: columns))
        for i in part.indices { part[i] += Double(product[i]) }
      }
    }
  }

  /// The means, `[rows, columns]`.
  package var means: DoubleMatrix { sums.scaled(by: 1 / Double(max(count, 1))) }
}
