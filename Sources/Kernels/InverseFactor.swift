/// The upper triangular U with `Uᵀ · U = H⁻¹` for a symmetric positive definite H.
///
/// J reverses rows or columns. With `J · H · J = L · Lᵀ`, `J · L · J` is upper triangular, and U is its
/// inverse, `J · L⁻¹ · J`. The inverse of H itself is never formed.
///
/// Source: GPTQ, arXiv:2210.17323, section 3.3, which factors H⁻¹.
///
/// - Parameters:
///   - matrix: `[order, order]`, symmetric.
///   - order: At least 1.
/// - Returns: U, `[order, order]`, zero below the diagonal; nil when H is not finite or not positive definite in
///   double precision.
package func inverseFactor(of matrix: [Double], order: Int) -> [Double]? {
  // The last element first: both rows and columns in opposite order.
  var values = [Double](matrix.reversed())
  guard factor(&values, order: order) else { return nil }
  LAPACK.invertLower(&values, order: order)
  clearAbove(&values, order: order)
  values.reverse()
  return values
}

/// The lower triangular L with `L · Lᵀ = H` for a symmetric positive definite H.
///
/// - Parameters:
///   - matrix: `[order, order]`, symmetric.
///   - order: At least 1.
/// - Returns: L, `[order, order]`, zero above the diagonal; nil when H is not finite or not positive definite in
///   double precision.
package func choleskyFactor(of matrix: [Double], order: Int) -> [Double]? {
  var values = matrix
  guard factor(&values, order: order) else { return nil }
  clearAbove(&values, order: order)
  return values
}

/// `choleskyFactor` and its inverse, which is lower triangular, too.
package func choleskyFactors(of matrix: [Double], order: Int) -> (factor: [Double], inverse: [Double])? {
  guard let factor = choleskyFactor(of: matrix, order: order) else { return nil }
  var inverse = factor
  LAPACK.invertLower(&inverse, order: order)
  return (factor, inverse)
}

/// `choleskyFactors` of a matrix whose elements above the diagonal are zero instead of those below it.
func choleskyFactors(ofLower matrix: [Double], order: Int) -> (factor: [Double], inverse: [Double])? {
  var values = matrix
  guard factor(&values, order: order) else { return nil }
  var inverse = values
  LAPACK.invertLower(&inverse, order: order)
  return (values, inverse)
}

/// Replaces a matrix by its Cholesky factor in the lower triangle; false when it is not finite or not positive definite.
private func factor(_ matrix: inout [Double], order: Int) -> Bool {
  matrix.allSatisfy(\.isFinite) && LAPACK.factorLower(&matrix, order: order)
}

/// Makes what lies above the diagonal of a row-major matrix zero.
private func clearAbove(_ matrix: inout [Double], order: Int) {
  for row in 0..<order {
    for column in row + 1..<max(order, row + 1) { matrix[row * order + column] = 0 }
  }
}
