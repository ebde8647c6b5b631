import Checkpoints
import Kernels

// Lattice grids: eight columns are rounded at once, and take up the errors of the columns before them.

extension GPTQRows {
  /// Rounds the columns of a group, after those at all later positions.
  ///
  /// The factors of a block are chosen when its first group is reached, from weights that took up the errors
  /// before them. The cost of a point is the layer error that it adds, with the best that the columns after it
  /// could do.
  ///
  /// - Parameters:
  ///   - fit: The fit of the grid.
  ///   - block: The positions of the group, whose columns follow each other from the last position on.
  mutating func roundPoints(_ fit: LatticeFit, _ block: Range<Int>) {
    let size = SuperBlock.columnCount
    if block.upperBound % size == 0 {
      latticeBlock = chosenBlock(fit, block.upperBound - size..<block.upperBound)
    }
    guard let chosen = latticeBlock else { preconditionFailure("a block begins with its last positions") }
    let firstColumn = feedback.order[block.upperBound - 1]
    let (original, updated) = weights(at: block)
    let weights = reversed(original)
    let group = firstColumn / grid.groupSize
    let found = fit.group(
      targets: reversed(updated).span, weights: weights.span, form(of: block),
      near: chosen.scales[group % fit.kind.groupCount], factors: chosen.factors)
    tables.set(multiples: found.multiples, group: group)
    let rounded = found.weights
    for i in rounded.indices {
      codes[firstColumn * rowCount + i] = found.points.values[i] + fit.zeroCode
    }
    let errors = reversed(zip(rounded, weights).map { $0 - $1 })
    for i in errors.indices { self.errors[block.lowerBound * rowCount + i] = errors[i] }
  }

  /// Chooses the factors of a block from its weights as they are if none of it is rounded.
  private mutating func chosenBlock(_ fit: LatticeFit, _ positions: Range<Int>) -> LatticeFit.Block {
    let first = feedback.order[positions.upperBound - 1]
    let weights = reversed(unrounded(self.weights(at: positions), positions))
    let importance = feedback.importance[first..<first + positions.count]
    let block = fit.block(weights.span, importance: Array(importance).span, rowCount: rowCount)
    tables.set(factors: block.factors, block: first / positions.count)
    return block
  }

  /// The layer error that errors at some positions add, in the order of their columns.
  private func form(of block: Range<Int>) -> LatticeForm {
    let (index, layout) = feedback.shares.part(rows: block, columns: block)
    let all = feedback.shares.blocks[index]
    let view = MatrixView(all.span, layout)
    let last = block.count - 1
    var shares = [Float](repeating: 0, count: block.count * block.count)
    for j in 0..<block.count {
      let row = view.row(last - j)
      for k in 0..<j { shares[j * block.count + k] = row[last - k] }
    }
    return LatticeForm(shares: shares, diagonal: feedback.squares[block].reversed())
  }

  /// Returns values `[positions, rows]` with the positions in the opposite order.
  private func reversed(_ values: [Float]) -> [Float] {
    stride(from: values.count - rowCount, through: 0, by: -rowCount).flatMap { values[$0..<$0 + rowCount] }
  }
}
