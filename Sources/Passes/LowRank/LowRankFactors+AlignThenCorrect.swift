package import Kernels

extension LowRankFactors {
  /// Computes the smallest change of a weight that aligns its output with the original's, in the norm of the
  /// loss's gradients.
  ///
  /// With `C = W · E[x·xqᵀ] - Wq · Hx`, `Hx = E[xq·xqᵀ]`, `Hz = E[g·gᵀ]`, the Cholesky factors `Lx` and `Lz`
  /// of the latter two, and `K = Lzᵀ · C · Lx⁻ᵀ`, the product is `step · Lz⁻ᵀ · [K] · Lx⁻¹`. The brackets
  /// mean truncation to the rank.
  ///
  /// A change that is the same in all columns of a group acts on `Pᵀ · xq`, with P the indicator of groups:
  /// `C · P` and `Pᵀ · Hx · P` replace C and Hx.
  ///
  /// - Parameters:
  ///   - original: W, `[out, in]`.
  ///   - quantized: Wq, `[out, in]`.
  ///   - crossMoments: `E[x·xqᵀ]`, `[in, in]`: the input in the original model, times that in the quantized
  ///     model.
  ///   - moments: Hx, `[in, in]`.
  ///   - gradientMoments: Hz of the loss's gradients at the output, `[out, out]`.
  ///   - rank: The requested rank; the result has at most `min(out, in / groupSize)` rows.
  ///   - step: The share of the solution to apply.
  ///   - groupSize: The number of columns with the same change; divides `in`.
  /// - Returns: The factors.
  /// - Throws: `FactorizationError` when the moments are not finite.
  /// - Source: Align-Then-Correct, arXiv:2610.08164, stage 1; any factor of the moments gives the same
  ///   product.
  package static func aligning(
    original: DoubleMatrix, quantized: DoubleMatrix, crossMoments: DoubleMatrix, moments: DoubleMatrix,
    gradientMoments: DoubleMatrix, rank: Int, step: Double, groupSize: Int = 1
  ) throws(FactorizationError) -> LowRankFactors {
    let missing = original.times(crossMoments).subtracting(quantized.times(moments)).summedColumns(
      of: groupSize)
    let moments = moments.pooled(by: groupSize)
    let inputs = try Whitening(moments, damping: 3e-2 * moments.meanDiagonal)
    let outputs = try Whitening(gradientMoments, damping: 1e-2 * gradientMoments.meanDiagonal)
    let whitened = outputs.factor.times(missing, .transposedLeft).times(inputs.inverse, .transposedRight)
    return try LowRankFactors(whitened.scaled(by: step), outputs, inputs, rank: rank)
  }

  /// Takes a step of a change down the loss; the step's length is bounded relative to the change's length.
  ///
  /// With `Y = Lzᵀ · D · Lx`, `M = Lz⁻¹ · G · Lx⁻ᵀ` and `a = min(1, bound · ‖Y‖ / ‖M‖)` the result is `Lz⁻ᵀ ·
  /// [Y - a · M] · Lx⁻¹`.
  ///
  /// - Parameters:
  ///   - change: D, `[out, in / groupSize]`.
  ///   - gradient: G, `E[g·xqᵀ]`, the gradient of the weight, `[out, in]`.
  ///   - moments: Hx, `[in, in]`.
  ///   - gradientMoments: Hz, `[out, out]`.
  ///   - rank: The requested rank; the result has at most `min(out, in / groupSize)` rows.
  ///   - bound: The largest length of the step, relative to that of the change.
  ///   - groupSize: The number of columns with the same change; `G · P` and `Pᵀ · Hx · P` replace G and Hx,
  ///     with P as in `aligning`.
  /// - Returns: The factors.
  /// - Throws: `FactorizationError` when the moments are not finite.
  /// - Source: Align-Then-Correct, arXiv:2610.08164, stage 2.
  package static func correcting(
    change: DoubleMatrix, gradient: DoubleMatrix, moments: DoubleMatrix, gradientMoments: DoubleMatrix,
    rank: Int, bound: Double, groupSize: Int = 1
  ) throws(FactorizationError) -> LowRankFactors {
    let moments = moments.pooled(by: groupSize)
    let inputs = try Whitening(moments, damping: 1e-2 * moments.largestEigenvalue)
    let outputs = try Whitening(gradientMoments, damping: 1e-2 * gradientMoments.largestEigenvalue)
    let whitened = outputs.factor.times(change, .transposedLeft).times(inputs.factor)
    let slope = outputs.inverse.times(gradient.summedColumns(of: groupSize)).times(
      inputs.inverse, .transposedRight)
    let ratio = (whitened.squaredNorm / max(slope.squaredNorm, .leastNormalMagnitude)).squareRoot()
    let step = slope.scaled(by: min(1, bound * ratio))
    return try LowRankFactors(whitened.subtracting(step), outputs, inputs, rank: rank)
  }

  /// Computes `Lz⁻ᵀ · [K] · Lx⁻¹`.
  private init(
    _ whitened: DoubleMatrix, _ outputs: Whitening, _ inputs: Whitening, rank: Int
  ) throws(FactorizationError) {
    let spectrum = try ErrorSpectrum(of: whitened)
    let directions = try spectrum.directions(min(rank, spectrum.energies.count))
    self.init(
      a: directions.times(whitened).times(inputs.inverse), transposedB: directions.times(outputs.inverse))
  }
}

/// The Cholesky factor of damped moments and its inverse, both lower triangular.
private struct Whitening {
  let factor: DoubleMatrix
  let inverse: DoubleMatrix

  /// Factors moments; the damping grows tenfold until they are positive definite.
  init(_ moments: DoubleMatrix, damping: Double) throws(FactorizationError) {
    let order = moments.rowCount
    var damped = moments.values
    let factors = try DampedCholesky(first: damping > 0 ? damping : 1, unit: 1, growth: 10).factor(
      &damped, order: order
    ) { choleskyFactors(of: $0, order: $1) }.factor
    factor = DoubleMatrix(rows: order, columns: order, values: factors.factor)
    inverse = DoubleMatrix(rows: order, columns: order, values: factors.inverse)
  }
}

extension DoubleMatrix {
  /// The largest eigenvalue of positive semidefinite moments, by power iteration.
  var largestEigenvalue: Double {
    var vector = DoubleMatrix(rows: 1, columns: columnCount)
    for i in vector.values.indices { vector.values[i] = 1 + Double(i % 7) / 8 }
    var value = 0.0
    for _ in 0..<1000 {
      let length = vector.squaredNorm.squareRoot()
      guard length > 0 else { return 0 }
      for i in vector.values.indices { vector.values[i] /= length }
      let image = vector.times(self)
      let next = image.squaredNorm.squareRoot()
      vector = image
      if abs(next - value) <= 1e-10 * next { return next }
      value = next
    }
    return value
  }

  /// Multiplies the matrix by a factor.
  package func scaled(by factor: Double) -> DoubleMatrix {
    var scaled = self
    for i in scaled.values.indices { scaled.values[i] *= factor }
    return scaled
  }
}
