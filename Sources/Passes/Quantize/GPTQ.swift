import Kernels

/// Rounds column after column and spreads the error of each over those that follow, by the inputs' second moments.
///
/// With `Uᵀ · U = (H + λI)⁻¹`: of column `j` the error `(w - rounded) / U[j, j]` times `U[j, k]` is taken from every later
/// column `k`. A group's scale and bias come from the clip search on the weights as they are when its turn comes, or,
/// with columns in the order of their activation, on the original ones.
///
/// Source: GPTQ, arXiv:2210.17323; static groups as in its published code.
package struct GPTQ: RowQuantizer {
  package let grid: QuantizationGrid
  /// The share of the mean diagonal that was added to the diagonal.
  package let damping: Double
  /// The columns in the order in which they are rounded.
  private let order: [Int]
  /// `U[j, k] / U[j, j]` in that order, `[columns, columns]`.
  private let feedback: [Float]
  /// `E[x²]` of every column.
  private let importance: [Float]
  private let takesActivationOrder: Bool

  /// Prepares for the linears that read one input.
  ///
  /// - Parameters:
  ///   - grid: Where codes and tables lie.
  ///   - moments: Of the input.
  ///   - damping: The share of the mean diagonal to add; doubled until the factorization succeeds.
  ///   - activationOrder: Whether columns come in the order of decreasing `E[x²]`.
  package init(
    grid: QuantizationGrid, moments: SecondMoments, damping: Double, activationOrder: Bool
  ) {
    self.grid = grid
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
    (feedback, self.damping) = Self.feedback(&matrix, order: count, damping: damping)
  }

  /// The rows of U, each divided by its diagonal element, and the damping that it took.
  private static func feedback(
    _ matrix: inout [Double], order: Int, damping first: Double
  ) -> (feedback: [Float], damping: Double) {
    // An input that is always zero has no say; a one keeps the matrix definite.
    for i in 0..<order where matrix[i * order + i] == 0 { matrix[i * order + i] = 1 }
    let mean = (0..<order).reduce(0) { $0 + matrix[$1 * order + $1] } / Double(order)
    var (damping, added) = (first, 0.0)
    while true {
      for i in 0..<order { matrix[i * order + i] += (damping - added) * mean }
      if let factor = inverseFactor(of: matrix, order: order) {
        var rows = [Float](repeating: 0, count: order * order)
        for i in 0..<order {
          let diagonal = factor[i * order + i]
          for j in i..<order { rows[i * order + j] = Float(factor[i * order + j] / diagonal) }
        }
        return (rows, damping)
      }
      (added, damping) = (damping, damping * 2)
    }
  }

  package func quantizeRows(_ weights: [Float], columns: Int) throws(UnusableWeight) -> PackedTensor {
    try requireFinite(weights)
    var rows = GPTQRows(grid: grid, weights: weights, order: order, importance: importance)
    if takesActivationOrder { rows.fixTables(weights, importance) }
    for start in stride(from: 0, to: columns, by: grid.groupSize) {
      let block = start..<start + grid.groupSize
      if !takesActivationOrder { rows.findTables(block, importance) }
      rows.round(block, feedback)
    }
    return PackedTensor(codes: packed(rows.codes), scales: rows.scales, biases: rows.biases)
  }
}
