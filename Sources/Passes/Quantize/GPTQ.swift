package import Kernels

/// Rounds column after column and spreads each column's error over the later ones, by the inputs' second
/// moments.
///
/// With `Uᵀ · U = (H + λI)⁻¹`, the error `(w - rounded) / U[j, j]` of column `j`, times `U[j, k]`, is
/// subtracted from every later column `k`. A group's scale and bias come from the clip search on its weights
/// when its columns are reached. With columns in the order of activation they come from the original weights.
///
/// Source: GPTQ, arXiv:2210.17323; static groups as in its published code.
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
    var rows = GPTQRows(grid: grid, weights: weights, order: feedback.order, importance: feedback.importance)
    if feedback.takesActivationOrder { rows.fixTables(weights, feedback.importance) }
    for start in stride(from: 0, to: columns, by: grid.groupSize) {
      let block = start..<start + grid.groupSize
      if !feedback.takesActivationOrder { rows.findTables(block, feedback.importance) }
      rows.round(block, feedback.shares)
    }
    return PackedTensor(codes: grid.packed(rows.codes), scales: rows.scales, biases: rows.biases)
  }
}

/// The statistics of an input that GPTQ needs, shared by all linears that read it.
package struct GPTQFeedback: Sendable {
  /// λ as a share of the mean diagonal.
  package let damping: Double
  /// The columns in the order of rounding.
  let order: [Int]
  /// `U[j, k] / U[j, j]` in that order, `[columns, columns]`.
  let shares: [Float]
  /// `E[x²]` of every column.
  let importance: [Float]
  let takesActivationOrder: Bool

  /// Factors the moments of an input.
  ///
  /// - Parameters:
  ///   - moments: The second moments of the input.
  ///   - damping: λ as a share of the mean diagonal; doubled until the factorization succeeds.
  ///   - activationOrder: Whether columns are in the order of decreasing `E[x²]`.
  /// - Throws: `FactorizationError` when the moments are not finite.
  package init(
    moments: SecondMoments, damping: Double, activationOrder: Bool
  ) throws(FactorizationError) {
    takesActivationOrder = activationOrder
    importance = moments.importance
    let count = moments.order
    let squares = importance
    let order =
      activationOrder
      ? (0..<count).sorted { (squares[$0], $1) > (squares[$1], $0) } : Array(0..<count)
    self.order = order
    let means = moments.means
    var matrix = [Double](repeating: 0, count: count * count)
    for (i, row) in order.enumerated() {
      for (j, column) in order.enumerated() { matrix[i * count + j] = means[row * count + column] }
    }
    (shares, self.damping) = try Self.shares(&matrix, order: count, damping: damping)
  }

  /// Returns the rows of U, each divided by its diagonal element, and the damping used.
  private static func shares(
    _ matrix: inout [Double], order: Int, damping first: Double
  ) throws(FactorizationError) -> (shares: [Float], damping: Double) {
    let (factor, damping) = try dampedInverseFactor(of: &matrix, order: order, damping: first)
    var rows = [Float](repeating: 0, count: order * order)
    for i in 0..<order {
      let diagonal = factor[i * order + i]
      for j in i..<order { rows[i * order + j] = Float(factor[i * order + j] / diagonal) }
    }
    return (rows, damping)
  }
}

/// Computes the upper triangular U with `Uᵀ · U = (H + λI)⁻¹`; λ is a share of H's mean diagonal, doubled
/// until the factorization succeeds.
///
/// - Parameters:
///   - matrix: H, `[order, order]`, symmetric; becomes `H + λI`, with a 1 where its diagonal is zero.
///   - order: At least 1.
///   - first: The first share to try, above 0.
/// - Returns: U and the share used.
/// - Throws: `FactorizationError` when H is not finite.
func dampedInverseFactor(
  of matrix: inout [Double], order: Int, damping first: Double
) throws(FactorizationError) -> (factor: [Double], damping: Double) {
  // Inputs that are always zero do not affect the result; a 1 keeps the matrix positive definite.
  for i in 0..<order where matrix[i * order + i] == 0 { matrix[i * order + i] = 1 }
  let mean = (0..<order).reduce(0) { $0 + matrix[$1 * order + $1] } / Double(order)
  let (factor, damping) = try DampedCholesky(first: first, unit: mean, growth: 2).factor(
    &matrix, order: order
  ) { inverseFactor(of: $0, order: $1) }
  return (factor, damping)
}
