package import Kernels

/// The moments of two vectors, `E[x · yᵀ]`: products per window summed in f32, their sums in double precision.
package struct CrossMoments: Sendable {
  private static let rowsPerChunk = 96
  private var sums: DoubleMatrix
  private var count = 0

  /// Begins with zeros.
  package init(rows: Int, columns: Int) { sums = DoubleMatrix(rows: rows, columns: columns) }

  /// Adds the tokens of a window.
  ///
  /// - Parameters:
  ///   - x: A matrix with one row per token.
  ///   - features: The columns of x to use, as many as the moments have rows.
  ///   - y: `[tokens, columns]`.
  ///   - operands: The type that x and y may be rounded to.
  package mutating func add(
    _ x: Matrix, _ features: Range<Int>, _ y: Matrix, operands: ProductOperands = .f32
  ) {
    precondition(features.count == sums.rowCount && y.columnCount == sums.columnCount)
    count += x.rowCount
    var whole = sums.mutableView
    parallelRows(of: &whole, rowsPerChunk: Self.rowsPerChunk) { rows, part in
      ScratchPool.shared.withMatrix(rows: rows.count, columns: part.columnCount) { product in
        multiply(
          x.view[columns: features][columns: rows].transposed, y.view, into: &product, operands: operands)
        let products = product.view
        for i in 0..<rows.count {
          let row = products.row(i)
          var sums = part.row(i)
          for j in sums.indices { sums[j] += Double(row[j]) }
        }
      }
    }
  }

  /// Gives up the sums for the means, `[rows, columns]`.
  package consuming func takeMeans() -> DoubleMatrix {
    let factor = 1 / Double(max(count, 1))
    var values = sums.values.mutableSpan
    for i in values.indices { values[i] *= factor }
    return sums
  }

  /// The means, `[rows, columns]`.
  package var means: DoubleMatrix { sums.scaled(by: 1 / Double(max(count, 1))) }
}
