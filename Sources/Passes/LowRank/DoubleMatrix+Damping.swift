import Kernels
import Models

extension DoubleMatrix {
  /// Factors this matrix after adding a share of its mean diagonal to the diagonal: the smallest of 1e-10,
  /// 1e-9 and so on that works.
  ///
  /// - Parameter factorize: Receives the elements and the order; returns nil when the matrix is not positive
  ///   definite.
  /// - Returns: `[order, order]`, the result of `factorize`.
  /// - Throws: `FactorizationError` when the matrix is not finite.
  func dampedFactor(
    _ factorize: ([Double], Int) -> [Double]?
  ) throws(FactorizationError) -> DoubleMatrix {
    let mean = meanDiagonal
    var damped = values
    let (factor, _) = try DampedCholesky(first: 1e-10, unit: mean > 0 ? mean : 1, growth: 10).factor(
      &damped, order: rowCount, factorize)
    return DoubleMatrix(rows: rowCount, columns: rowCount, values: factor)
  }

  /// The mean of the diagonal.
  var meanDiagonal: Double {
    (0..<rowCount).reduce(0) { $0 + values[$1 * (columnCount + 1)] } / Double(rowCount)
  }
}

/// Runs closed forms of a module; if a factorization fails, the error names the module.
///
/// - Throws: `ModelError.notFinite`, `PassError.checkFailed`, or other errors of `body`.
func namingModule<R>(_ name: String, _ body: () throws -> R) throws -> R {
  do {
    return try body()
  } catch FactorizationError.notFinite {
    throw ModelError.notFinite("the matrix of moments of '\(name)'")
  } catch FactorizationError.notDefinite {
    throw PassError.checkFailed(
      "the matrix of moments of '\(name)' cannot be factored: it is not positive definite")
  } catch FactorizationError.notConverged {
    throw PassError.checkFailed("the eigenvectors of the error of '\(name)' cannot be found")
  }
}
