/// The eigenvalues of a symmetric matrix, and eigenvectors of the leading ones on demand.
///
/// Values and vectors are those of a matrix that differs from the given one by rounding, about 1e-15 of its norm; the
/// vectors are orthonormal to about 1e-12. The same on any number of threads.
package struct SymmetricEigen: Sendable {
  /// The eigenvalues, largest first.
  package let values: [Double]
  private let tridiagonal: LAPACK.Tridiagonal

  /// Reduces a matrix to tridiagonal form and finds its eigenvalues, in about `4/3 · order³` multiplications.
  ///
  /// - Parameter matrix: Square and symmetric.
  /// - Throws: `notFinite` or `notConverged`.
  package init(_ matrix: DoubleMatrix) throws(FactorizationError) {
    precondition(
      matrix.rowCount == matrix.columnCount && matrix.rowCount > 0,
      "[\(matrix.rowCount), \(matrix.columnCount)] is not square")
    var (largest, isFinite) = (0.0, true)
    for value in matrix.values {
      largest = max(largest, abs(value))
      isFinite = isFinite && value.isFinite
    }
    guard isFinite else { throw .notFinite }
    // With elements of 1 at most no square overflows.
    let scale = largest > 0 ? largest : 1
    tridiagonal = LAPACK.Tridiagonal(matrix.values.map { $0 / scale }, order: matrix.rowCount)
    guard let scaledValues = tridiagonal.eigenvalues else { throw .notConverged }
    values = scaledValues.map { $0 * scale }
  }

  /// The eigenvectors of the largest eigenvalues, one per row.
  ///
  /// - Parameter count: At most the order.
  /// - Returns: `[count, order]`, orthonormal rows; the sign of each is arbitrary but always the same.
  /// - Throws: `notConverged`.
  package func vectors(_ count: Int) throws(FactorizationError) -> DoubleMatrix {
    precondition(count <= values.count, "\(count) vectors, order \(values.count)")
    guard count > 0 else { return DoubleMatrix(rows: 0, columns: values.count) }
    guard let vectors = tridiagonal.eigenvectors(count) else { throw .notConverged }
    return DoubleMatrix(rows: count, columns: values.count, values: vectors)
  }
}
