/// Solves `matrix · x = right` for a symmetric positive definite matrix, by its Cholesky factor.
///
/// A plain loop on the calling thread, which defines what `NormalEquations` solves for many rows at once.
///
/// - Parameters:
///   - matrix: `[order, order]`; elements above the diagonal are not read. Becomes the factor.
///   - right: `[order]`; becomes the solution.
/// - Returns: Whether the matrix is positive definite in double precision; if not, `right` holds no solution.
package func solvePositiveDefinite(
  _ matrix: inout MutableSpan<Double>, _ right: inout MutableSpan<Double>
) -> Bool {
  let order = right.count
  precondition(matrix.count == order * order, "\(matrix.count) elements, order \(order)")
  for row in 0..<order {
    for column in 0...row {
      var value = matrix[row * order + column]
      for k in 0..<column {
        let product = matrix[row * order + k] * matrix[column * order + k]
        value -= product
      }
      guard row == column else {
        matrix[row * order + column] = value / matrix[column * order + column]
        continue
      }
      guard value > 0, value.isFinite else { return false }
      matrix[row * order + row] = value.squareRoot()
    }
  }
  for row in 0..<order {
    var value = right[row]
    for k in 0..<row { value -= matrix[row * order + k] * right[k] }
    right[row] = value / matrix[row * order + row]
  }
  for row in (0..<order).reversed() {
    var value = right[row]
    for k in row + 1..<max(order, row + 1) { value -= matrix[k * order + row] * right[k] }
    right[row] = value / matrix[row * order + row]
  }
  return true
}
