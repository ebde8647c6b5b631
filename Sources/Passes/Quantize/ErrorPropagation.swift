package import Kernels

/// Corrects linears for the error of the layers before them.
///
/// A linear's input is `x` in the original model and `xq` after quantized layers. `W' · xq` approximates `W ·
/// x` best with `W' = W + W · E[(x - xq) · xqᵀ] · (E[xq · xqᵀ] + λI)⁻¹`; a share of that correction is
/// applied.
///
/// Source: QEP, arXiv:2504.09629; λ as in GPTQ.
package struct ErrorPropagation {
  private let share: Double
  private let damping: Double

  /// - Parameters:
  ///   - share: The share of the correction, above 0 and at most 1.
  ///   - damping: λ as a share of the mean diagonal, at least.
  init(share: Double, damping: Double) {
    self.share = share
    self.damping = damping
  }

  /// Returns the matrix that multiplies the weights that read one input.
  ///
  /// - Parameters:
  ///   - difference: `E[(x - xq) · xqᵀ]`.
  ///   - moments: `E[xq · xqᵀ]`.
  /// - Returns: The result of the function below.
  /// - Throws: `FactorizationError` when the moments are not finite.
  func correction(
    _ difference: consuming CrossMoments, _ moments: MomentMatrix
  ) throws(FactorizationError) -> [Float] {
    try Self.correction(difference.takeMeans(), moments, share: share, damping: damping)
  }

  /// Computes `I + share · E[(x - xq) · xqᵀ] · (E[xq · xqᵀ] + λI)⁻¹`.
  ///
  /// - Parameters:
  ///   - cross: `E[(x - xq) · xqᵀ]`.
  ///   - moments: `E[xq · xqᵀ]`.
  ///   - share: 0 to 1.
  ///   - damping: λ as a share of the mean diagonal; doubled until the factorization succeeds.
  /// - Returns: `[order, order]`.
  /// - Throws: `FactorizationError` when the moments are not finite.
  package static func correction(
    _ cross: consuming DoubleMatrix, _ moments: MomentMatrix, share: Double, damping: Double
  ) throws(FactorizationError) -> [Float] {
    let order = moments.order
    var quotient = cross
    _ = try moments.factored(damping: damping) { $0.divide(&quotient) }
    var correction = [Float](repeating: 0, count: order * order)
    var rows = correction.mutableSpan
    parallelRows(of: &rows, columnCount: order, rowsPerChunk: 64) { [quotient] range, part in
      for (i, row) in range.enumerated() {
        for j in 0..<order {
          part[i * order + j] = Float((j == row ? 1 : 0) + share * quotient.values[row * order + j])
        }
      }
    }
    return correction
  }
}
