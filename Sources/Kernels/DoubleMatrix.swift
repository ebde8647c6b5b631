/// Which operand of a product of matrices is taken transposed.
package enum MatrixProduct: Sendable {
  /// `a [m, k] · b [k, n]`.
  case plain
  /// `a [m, k] · b [n, k]ᵀ`.
  case transposedRight
  /// `a [k, m]ᵀ · b [k, n]`.
  case transposedLeft
}

/// A row-major matrix of doubles in memory of its own, for closed forms.
package struct DoubleMatrix: Sendable, Equatable {
  private static let rowsPerChunk = 64
  /// The number of rows.
  package let rowCount: Int
  /// The length of a row.
  package let columnCount: Int
  /// The elements, `[rowCount, columnCount]`.
  package var values: [Double]

  /// A matrix with given elements.
  package init(rows rowCount: Int, columns columnCount: Int, values: [Double]) {
    precondition(
      values.count == rowCount * columnCount, "\(values.count) values for [\(rowCount), \(columnCount)]")
    self.rowCount = rowCount
    self.columnCount = columnCount
    self.values = values
  }

  /// A matrix of zeros.
  package init(rows rowCount: Int, columns columnCount: Int) {
    self.init(
      rows: rowCount, columns: columnCount, values: [Double](repeating: 0, count: rowCount * columnCount))
  }

  /// The elements of a matrix of floats.
  package init(_ matrix: Matrix) {
    self.init(rows: matrix.rowCount, columns: matrix.columnCount, values: matrix.values.map { Double($0) })
  }

  /// The layout of the whole matrix inside `values`.
  package var layout: MatrixLayout { MatrixLayout(rows: rowCount, columns: columnCount) }

  /// The range of a row in `values`.
  package func row(_ i: Int) -> Range<Int> { i * columnCount..<(i + 1) * columnCount }

  /// The product with another matrix, on several threads.
  ///
  /// - Parameters:
  ///   - other: The right operand.
  ///   - kind: Which operand is transposed.
  /// - Returns: `[m, n]`; the order of the sums depends only on the shape and the instruction set.
  package func times(_ other: DoubleMatrix, _ kind: MatrixProduct = .plain) -> DoubleMatrix {
    var result = DoubleMatrix(
      rows: kind == .transposedLeft ? columnCount : rowCount,
      columns: kind == .transposedRight ? other.rowCount : other.columnCount)
    var whole = result.mutableView
    parallelRows(of: &whole, rowsPerChunk: Self.rowsPerChunk) { rows, part in
      let left = kind == .transposedLeft ? view.transposed : view
      let right = kind == .transposedRight ? other.view.transposed : other.view
      multiply(left[rows: rows], right, into: &part)
    }
    return result
  }

  /// The dot product of each row with the same row of another matrix of this shape.
  package func rowProducts(with other: DoubleMatrix) -> [Double] {
    precondition(layout == other.layout, "\(layout) and \(other.layout)")
    return (0..<rowCount).map {
      dot(values.span.extracting(row($0)), other.values.span.extracting(row($0)))
    }
  }

  /// The sum of the squares of all elements.
  package var squaredNorm: Double { dot(values.span, values.span) }
}
