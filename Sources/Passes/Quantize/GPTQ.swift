package import Kernels

/// Rounds column after column; each takes up the errors of the columns before it, by the inputs' second
/// moments.
///
/// With `Uᵀ · U = H + λI`, the columns in the opposite order of rounding and U upper triangular, the layer
/// error is the sum over columns `j` of `(U · e)²[j]`, e the rounded minus the original weights. It is least,
/// given the columns rounded before, where `e[j]` is minus the sum of `U[j, k] / U[j, j] · e[k]` over them.
/// These are GPTQ's steps without the inverse of H. A group's scale and bias come from the clip search on its
/// weights when its columns are reached. With columns in the order of activation they come from the original
/// weights.
///
/// Source: GPTQ, arXiv:2210.17323, in the form of LDLQ, QuIP, arXiv:2307.13304, which is
/// shown there to be equal; static groups as in GPTQ's published code.
package struct GPTQ: RowQuantizer {
  package let grid: QuantizationGrid
  private let feedback: GPTQFeedback

  /// λ as a share of the mean diagonal.
  package var damping: Double { feedback.damping }

  /// Prepares for one grid.
  package init(grid: QuantizationGrid, _ feedback: GPTQFeedback) {
    self.grid = grid
    self.feedback = feedback
  }

  package func quantizeRows(_ weights: [Float], columns: Int) throws(UnusableWeight) -> PackedTensor {
    try requireFinite(weights)
    var rows = GPTQRows(grid: grid, weights: weights, feedback)
    if feedback.takesActivationOrder { rows.fixTables(weights) }
    for start in stride(from: 0, to: columns, by: grid.groupSize).reversed() {
      rows.round(start..<start + grid.groupSize)
    }
    return rows.packed
  }
}

/// The statistics of an input that GPTQ needs, shared by all linears that read it.
package struct GPTQFeedback: Sendable {
  /// λ as a share of the mean diagonal.
  package let damping: Double
  /// The columns by position; the last position is rounded first.
  let order: [Int]
  /// `U[j, k] / U[j, j]` by positions.
  let shares: UpperBlocks<Float>
  /// `U[j, j]²` by positions.
  let squares: [Float]
  /// `E[x²]` of every column.
  let importance: [Float]
  let takesActivationOrder: Bool

  /// Factors the moments of an input.
  ///
  /// - Parameters:
  ///   - moments: The second moments of the input.
  ///   - damping: λ as a share of the mean diagonal; doubled until the factorization succeeds.
  ///   - activationOrder: Whether columns are rounded in the order of decreasing `E[x²]`.
  /// - Throws: `FactorizationError` when the moments are not finite.
  package init(
    moments: MomentMatrix, damping: Double, activationOrder: Bool
  ) throws(FactorizationError) {
    takesActivationOrder = activationOrder
    importance = moments.diagonal
    let count = moments.order
    let squares = importance
    let order = Array(
      (activationOrder
        ? (0..<count).sorted { (squares[$0], $1) > (squares[$1], $0) } : Array(0..<count)).reversed())
    self.order = order
    let factored = try moments.factored(damping: damping, columns: order) { factor in
      let diagonal = factor.diagonal
      return (shares: factor.unitRows(), squares: diagonal.map { Float($0 * $0) })
    }
    (shares, self.squares, self.damping) = (factored.factor.shares, factored.factor.squares, factored.added)
  }
}
