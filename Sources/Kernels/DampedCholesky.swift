/// Why a matrix has no factors, or no eigenvectors.
package enum FactorizationError: Error, Equatable {
  /// An element is NaN or infinite.
  case notFinite
  /// The matrix is not positive definite, whatever is added to its diagonal.
  case notDefinite
  /// Its eigenvalues or eigenvectors are not found in a bounded number of steps.
  case notConverged
}

/// Factors moments, which are positive definite except for rounding, by raising the diagonal until it
/// succeeds.
///
/// The first attempt adds `first · unit`, each later one `growth` times as much as the one before. Twice the
/// largest element times the order makes any matrix definite, so there is no attempt after that.
package struct DampedCholesky: Sendable {
  /// The amount that the first attempt adds, in units.
  package let first: Double
  /// The size of a unit; usually the mean of the diagonal.
  package let unit: Double
  /// The factor from one attempt to the next.
  package let growth: Double

  /// Describes the attempts.
  package init(first: Double, unit: Double, growth: Double) {
    precondition(growth >= 2, "a growth of \(growth)")
    self.first = first
    self.unit = unit
    self.growth = growth
  }

  /// Factors a matrix.
  ///
  /// - Parameters:
  ///   - matrix: `[order, order]`, symmetric; the added amount stays on its diagonal.
  ///   - order: At least 1.
  ///   - factorize: Gets the elements and the order; returns nil when the matrix is not positive definite.
  /// - Returns: The result of `factorize`, and the number of units that were added.
  /// - Throws: `notFinite`; `notDefinite` when no attempt has succeeded.
  package func factor<F>(
    _ matrix: inout [Double], order: Int, _ factorize: ([Double], Int) -> F?
  ) throws(FactorizationError) -> (factor: F, added: Double) {
    let largest = try Self.largest(of: matrix)
    let diagonal = (0..<order).map { matrix[$0 * (order + 1)] }
    return try factor(order: order, largest: largest) { added in
      for i in 0..<order { matrix[i * (order + 1)] = diagonal[i] + added }
      return factorize(matrix, order)
    }
  }

  /// Factors a matrix that each attempt makes anew.
  ///
  /// - Parameters:
  ///   - order: The order of the matrix, at least 1.
  ///   - largest: The largest magnitude of its elements, finite.
  ///   - attempt: Gets the amount to add to the diagonal; returns nil when the matrix is not positive
  ///     definite.
  /// - Returns: The result of `attempt`, and the number of units that were added.
  /// - Throws: `notDefinite` when no attempt has succeeded.
  package func factor<F>(
    order: Int, largest: Double, _ attempt: (Double) -> F?
  ) throws(FactorizationError) -> (factor: F, added: Double) {
    let enough = 2 * Double(order) * largest
    guard first > 0, unit > 0 else { throw .notDefinite }
    var added = first
    while (added * unit).isFinite {
      if let factor = attempt(added * unit) { return (factor, added) }
      if added * unit > enough { break }
      added *= growth
    }
    throw .notDefinite
  }

  private static func largest(of matrix: [Double]) throws(FactorizationError) -> Double {
    var (largest, isFinite) = (0.0, true)
    for value in matrix {
      largest = max(largest, abs(value))
      isFinite = isFinite && value.isFinite
    }
    guard isFinite else { throw .notFinite }
    return largest
  }
}
