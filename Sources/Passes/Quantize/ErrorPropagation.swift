package import Kernels
import Models

/// What corrects linears for the error of the layers before them: the same windows in the original model.
///
/// A linear's input is `x` in the original model and `xq` behind quantized layers. `W · x` is approximated best by `W' · xq` with
/// `W' = W + W · E[(x - xq) · xqᵀ] · (E[xq · xqᵀ] + λI)⁻¹`; a share of that correction is taken.
///
/// Source: QEP, arXiv:2504.09629; λ as in GPTQ.
struct ErrorPropagation {
  private let share: Double
  private let damping: Double
  private let model: Transformer
  private(set) var windows: HaltedWindows

  /// - Parameters:
  ///   - share: The share of the correction, above 0 and at most 1.
  ///   - damping: The share of the mean diagonal that is λ, at least.
  ///   - tokens: Windows of the text.
  ///   - model: The original.
  /// - Throws: `ModelError.tokenOutOfRange`.
  init(share: Double, damping: Double, tokens: [[Int32]], in model: Transformer) throws {
    self.share = share
    self.damping = damping
    self.model = model
    windows = try HaltedWindows(tokens, in: model)
  }

  /// Takes the windows a step further.
  mutating func advance(layer index: Int, step: Int) {
    windows.advance(layer: model.layers[index], step: step, of: model)
  }

  /// What the weights that read one input are multiplied with, `[in, in]`.
  ///
  /// - Parameters:
  ///   - moments: Of the inputs behind quantized layers.
  ///   - quantized: The windows behind quantized layers.
  ///   - input: The input of a window.
  /// - Returns: What `InputErrorMoments.correction` gives.
  func correction(
    _ moments: SecondMoments, _ quantized: HaltedWindows, reading input: (HaltedWindow) -> Matrix
  ) -> [Float] {
    var cross = InputErrorMoments(order: moments.order)
    for (original, window) in zip(windows.windows, quantized.windows) {
      cross.add(from: input(original), to: input(window))
    }
    return cross.correction(moments, share: share, damping: damping)
  }
}

/// The moments `E[(x - xq) · xqᵀ]` of what a linear reads in two models, in double precision.
package struct InputErrorMoments: Sendable {
  private let order: Int
  private var count = 0
  private var sums: [Double]

  package init(order: Int) {
    self.order = order
    sums = [Double](repeating: 0, count: order * order)
  }

  /// Adds the tokens of a window.
  ///
  /// - Parameters:
  ///   - x: The inputs in the original model, `[tokens, order]`.
  ///   - quantized: Those behind quantized layers, as many.
  package mutating func add(from x: Matrix, to quantized: Matrix) {
    precondition(x.rowCount == quantized.rowCount, "\(x.rowCount) and \(quantized.rowCount) tokens")
    count += x.rowCount
    var difference = x
    var span = difference.values.mutableSpan
    addScaled(quantized.values.span, scale: -1, to: &span)
    addProducts(difference, quantized, order: order, isSymmetric: false, to: &sums)
  }

  /// `I + share · E[(x - xq) · xqᵀ] · (E[xq · xqᵀ] + λI)⁻¹`.
  ///
  /// - Parameters:
  ///   - moments: `E[xq · xqᵀ]`.
  ///   - share: 0 to 1.
  ///   - damping: The share of the mean diagonal that is λ; doubled until the factorization succeeds.
  /// - Returns: `[order, order]`.
  package func correction(_ moments: SecondMoments, share: Double, damping: Double) -> [Float] {
    let order = order
    var matrix = moments.means
    let factor = dampedInverseFactor(of: &matrix, order: order, damping: damping).factor
    // (H + λI)⁻¹ = Uᵀ · U.
    let right = product(.transposedRight, sums, factor)
    let result = product(.plain, right, factor)
    let scale = share / Double(max(count, 1))
    return result.indices.map { Float((($0 % (order + 1) == 0) ? 1 : 0) + scale * result[$0]) }
  }

  private func product(_ kind: MatrixProduct, _ a: [Double], _ b: [Double]) -> [Double] {
    let (order, square) = (order, MatrixLayout(rows: order, columns: order))
    var result = [Double](repeating: 0, count: order * order)
    var span = result.mutableSpan
    parallelRows(of: &span, columnCount: order, rowsPerChunk: 64) { rows, part in
      multiply(
        kind, a.span, square[rows, 0..<order], b.span, square, into: &part,
        MatrixLayout(rows: rows.count, columns: order))
    }
    return result
  }
}
