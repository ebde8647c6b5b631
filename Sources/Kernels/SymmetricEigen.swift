/// The eigenvalues of a symmetric matrix, and eigenvectors of the leading ones on demand.
///
/// Values and vectors are those of a matrix that differs from the given one by about 1e-15 of its norm, by
/// rounding. The vectors are orthonormal to about 1e-12. Unlike LAPACK's, results do not depend on the number
/// of threads. On one thread OpenBLAS's `dsyevr` is up to five times as fast: see `Benchmarks/README.md`,
/// "Linear algebra beside OpenBLAS".
package struct SymmetricEigen: Sendable {
  /// The eigenvalues, largest first.
  package let values: [Double]
  private let scaledValues: [Double]
  private let tridiagonal: Tridiagonal

  /// Reduces a matrix to tridiagonal form and finds its eigenvalues, in about `4/3 · order³` multiplications.
  ///
  /// Nil when an element is not finite or the values are not found in a bounded number of steps.
  ///
  /// - Parameter matrix: Square and symmetric.
  package init?(_ matrix: DoubleMatrix) {
    precondition(
      matrix.rowCount == matrix.columnCount && matrix.rowCount > 0,
      "[\(matrix.rowCount), \(matrix.columnCount)] is not square")
    var (largest, isFinite) = (0.0, true)
    for value in matrix.values {
      largest = max(largest, abs(value))
      isFinite = isFinite && value.isFinite
    }
    guard isFinite else { return nil }
    // With elements of 1 at most no square overflows.
    let scale = largest > 0 ? largest : 1
    tridiagonal = Tridiagonal(matrix.values.map { $0 / scale }, order: matrix.rowCount)
    guard let scaledValues = tridiagonal.eigenvalues else { return nil }
    self.scaledValues = scaledValues
    values = scaledValues.map { $0 * scale }
  }

  /// The eigenvectors of the largest eigenvalues, one per row.
  ///
  /// - Parameter count: At most the order.
  /// - Returns: `[count, order]`, orthonormal rows; the sign of each is arbitrary but always the same.
  package func vectors(_ count: Int) -> DoubleMatrix {
    precondition(count <= values.count, "\(count) vectors, order \(values.count)")
    var vectors = tridiagonal.eigenvectors(of: scaledValues[0..<count])
    tridiagonal.turnBack(&vectors)
    return vectors
  }
}
