package import Kernels

/// The output error of a weight by direction: the eigenvalues of `E · S · Eᵀ`, largest first.
///
/// E is the error of the weight and S the second moments of its input. Without moments S is the identity, and
/// the eigenvalues are the squares of E's singular values. The eigenproblem is solved on the shorter side of
/// E: with `S = F · Fᵀ`, `Fᵀ · Eᵀ · E · F` has the same eigenvalues, and `E · F` maps its eigenvectors to the
/// output.
package struct ErrorSpectrum: Sendable {
  /// The squared output error in each direction, largest first, not negative, `[min(out, in)]`.
  ///
  /// Their sum is the mean squared error of the output.
  package let energies: [Double]
  private let eigen: SymmetricEigen
  /// `E · F`, `[out, in]`, if the eigenproblem was solved on the input's side.
  private let outputs: DoubleMatrix?

  /// Solves the eigenproblem.
  ///
  /// - Parameters:
  ///   - error: E, `[out, in]`, finite.
  ///   - moments: S, `[in, in]`, finite; nil for the identity.
  /// - Throws: `FactorizationError` when one of them is not finite or the eigenvalues are not found.
  package init(of error: DoubleMatrix, moments: DoubleMatrix? = nil) throws(FactorizationError) {
    let isWide = error.rowCount <= error.columnCount
    var factored: DoubleMatrix?
    let gram: DoubleMatrix
    if isWide {
      gram = (moments.map { error.times($0) } ?? error).times(error, .transposedRight)
    } else {
      var image = error
      if let moments {
        image = error.times(try moments.dampedFactor { choleskyFactor(of: $0, order: $1) })
      }
      gram = image.times(image, .transposedLeft)
      factored = image
    }
    eigen = try SymmetricEigen(gram)
    outputs = factored
    energies = eigen.values.map { max($0, 0) }
  }

  /// Returns the leading directions of the output as orthonormal rows; rows without error energy are zero.
  ///
  /// - Parameter count: At most the number of energies.
  /// - Returns: `[count, out]`.
  /// - Throws: `FactorizationError.notConverged`.
  package func directions(_ count: Int) throws(FactorizationError) -> DoubleMatrix {
    guard let outputs else { return try eigen.vectors(count) }
    var directions = try eigen.vectors(count).times(outputs, .transposedRight)
    for i in 0..<count {
      let isKnown = energies[i] > 1e-24 * energies[0]
      let factor = isKnown ? 1 / energies[i].squareRoot() : 0
      for j in directions.row(i) { directions.values[j] *= factor }
    }
    return directions
  }
}
