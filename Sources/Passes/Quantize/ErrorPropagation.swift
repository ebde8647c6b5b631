package import Kernels
import Models

/// What corrects linears for the error of the layers before them: the same windows in the original model.
///
/// A linear's input is `x` in the original model and `xq` behind quantized layers. `W · x` is approximated best by `W' · xq` with
/// `W' = W + W · E[(x - xq) · xqᵀ] · (E[xq · xqᵀ] + λI)⁻¹`; a share of that correction is taken.
///
/// Source: QEP, arXiv:2504.09629; λ as in GPTQ.
package struct ErrorPropagation {
  /// The windows whose outputs are compared for the report.
  private static let comparedWindows = 8
  private let share: Double
  private let damping: Double
  private var walk: LayerWalk

  /// - Parameters:
  ///   - share: The share of the correction, 0 to 1.
  ///   - damping: The share of the mean diagonal that is λ, at least.
  ///   - tokens: Windows of the text.
  ///   - model: The original.
  /// - Throws: `ModelError.tokenOutOfRange`.
  init(share: Double, damping: Double, tokens: [[Int32]], in model: Transformer) throws {
    self.share = share
    self.damping = damping
    walk = try LayerWalk(model, tokens)
  }

  /// The stream of every window in the original model.
  var streams: [Matrix] { walk.windows.map(\.hidden) }

  /// Takes the windows a step further.
  mutating func advance(layer index: Int, step: Int) {
    walk.advance(layer: index, step: step)
  }

  /// What the weights that read one input are multiplied with, `[in, in]`.
  ///
  /// - Parameters:
  ///   - moments: Of the inputs behind quantized layers.
  ///   - quantized: The windows behind quantized layers.
  ///   - input: The input of a window.
  /// - Returns: As the function below gives it.
  func correction(
    _ moments: SecondMoments, _ quantized: [HaltedWindow], reading input: (HaltedWindow) -> Matrix
  ) -> [Float] {
    var cross = CrossMoments(rows: moments.order, columns: moments.order)
    for (original, window) in zip(walk.windows, quantized) {
      var difference = input(original)
      var span = difference.values.mutableSpan
      let other = input(window)
      addScaled(other.values.span, scale: -1, to: &span)
      cross.add(difference, 0..<moments.order, other)
    }
    return Self.correction(cross.means, moments, share: share, damping: damping)
  }

  /// The inputs of some windows behind quantized layers, and in the original model.
  ///
  /// - Parameters:
  ///   - quantized: The windows behind quantized layers.
  ///   - input: The input of a window.
  /// - Returns: The first windows, few enough that computing with them costs little beside all.
  func comparedInputs(
    _ quantized: [HaltedWindow], reading input: (HaltedWindow) -> Matrix
  ) -> [OutputError.Inputs] {
    zip(quantized, walk.windows).prefix(Self.comparedWindows).map {
      OutputError.Inputs(quantized: input($0), original: input($1))
    }
  }

  /// `I + share · E[(x - xq) · xqᵀ] · (E[xq · xqᵀ] + λI)⁻¹`.
  ///
  /// - Parameters:
  ///   - cross: `E[(x - xq) · xqᵀ]`.
  ///   - moments: `E[xq · xqᵀ]`.
  ///   - share: 0 to 1.
  ///   - damping: The share of the mean diagonal that is λ; doubled until the factorization succeeds.
  /// - Returns: `[order, order]`.
  package static func correction(
    _ cross: DoubleMatrix, _ moments: SecondMoments, share: Double, damping: Double
  ) -> [Float] {
    let order = moments.order
    var matrix = moments.means
    let factor = DoubleMatrix(
      rows: order, columns: order,
      values: dampedInverseFactor(of: &matrix, order: order, damping: damping).factor)
    // (H + λI)⁻¹ = Uᵀ · U.
    let product = cross.times(factor, .transposedRight).times(factor)
    return product.values.enumerated().map { index, value in
      Float((index % (order + 1) == 0 ? 1 : 0) + share * value)
    }
  }
}
