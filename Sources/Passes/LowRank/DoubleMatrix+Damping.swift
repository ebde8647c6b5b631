import Kernels

extension DoubleMatrix {
  /// A factor of this matrix plus a share of its mean diagonal on the diagonal, the smallest of 1e-10, 1e-9 and so on for
  /// which there is one.
  ///
  /// - Parameter factorize: Gets the elements and the order; nil when the matrix is not positive definite.
  /// - Returns: `[order, order]`, as `factorize` gives it.
  func dampedFactor(_ factorize: ([Double], Int) -> [Double]?) -> DoubleMatrix {
    let order = rowCount
    let mean = (0..<order).reduce(0) { $0 + values[$1 * order + $1] } / Double(order)
    var share = 1e-10
    while true {
      var damped = values
      for i in 0..<order { damped[i * order + i] += share * (mean > 0 ? mean : 1) }
      if let factor = factorize(damped, order) {
        return DoubleMatrix(rows: order, columns: order, values: factor)
      }
      share *= 10
    }
  }
}
