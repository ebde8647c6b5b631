import Checkpoints
import Kernels

/// Some rows during GPTQ's rounding, one block of columns after the other; stored by columns, `[columns,
/// rows]`.
struct GPTQRows {
  let grid: QuantizationGrid
  let feedback: GPTQFeedback
  private let count: Int
  /// The number of rows, rounded up to whole vectors.
  let rowCount: Int
  /// By column; zero where the input is always zero.
  private let weights: [Float]
  /// By position, the errors of the columns that are rounded.
  var errors: [Float]
  /// By column.
  var codes: [Float]
  var tables: RowTables
  /// The tables of the block that is being rounded, on a lattice grid.
  var latticeBlock: LatticeFit.Block?

  private var columnCount: Int { feedback.order.count }

  /// Starts with the weights, `[rows, columns]`.
  init(grid: QuantizationGrid, weights: [Float], _ feedback: GPTQFeedback) {
    self.grid = grid
    self.feedback = feedback
    let columnCount = feedback.order.count
    count = weights.count / columnCount
    rowCount = RowVectors.rowCount(holding: count)
    var columns = weights.byColumns(rows: count, in: rowCount)
    for (column, importance) in feedback.importance.enumerated() where importance == 0 {
      for i in column * rowCount..<(column + 1) * rowCount { columns[i] = 0 }
    }
    self.weights = columns
    errors = [Float](repeating: 0, count: columns.count)
    codes = errors
    tables = RowTables(grid: grid, columns: columnCount, count: count, rowCount: rowCount)
  }

  /// Computes the tables of all groups from the original weights.
  mutating func fixTables(_ weights: [Float]) {
    tables = RowTables(
      grid.clipped(weights, importance: feedback.importance, columns: columnCount), count: count,
      rowCount: rowCount)
  }

  /// Computes the tables of a group from its weights after they took up the errors, `[columns, rows]` by
  /// position.
  private mutating func findTables(of group: Int, _ values: [Float], _ block: Range<Int>) {
    let columns = group * grid.groupSize..<(group + 1) * grid.groupSize
    let (weights, importance) = (inOrder(values, block), Array(feedback.importance[columns]))
    guard let kind = grid.layout.superBlock else {
      let found = grid.clipped(weights, importance: importance, columns: columns.count)
      for row in 0..<count {
        tables.set(scale: found.scales[row], bias: found.biases[row], group: group, row: row)
        if let zeroPoints = found.zeroPoints {
          tables.set(zeroPoint: Float(zeroPoints.values[row]), group: group, row: row)
        }
      }
      return
    }
    let found = grid.freelyClipped(weights, importance: importance, columns: columns.count)
    let fit = BlockFit(kind: kind)
    let scales = fit.scales(weights.span, importance: importance.span, clipped: found.scales.span)
    for row in 0..<count {
      let steps = fit.steps(
        weights.span.extracting(row * columns.count..<(row + 1) * columns.count),
        importance: importance.span, scale: scales[row], bias: found.biases[row],
        tables.factors(block: group / kind.groupCount, row: row))
      tables.set(steps: steps, group: group, row: row)
    }
  }

  /// Computes the factors of a super-block from its weights after they took up the errors of those before it,
  /// `[columns, rows]` by position.
  private mutating func findFactors(of block: Int, _ values: [Float], _ positions: Range<Int>) {
    guard let kind = grid.layout.superBlock else { return }
    let columns = block * positions.count..<(block + 1) * positions.count
    let (weights, importance) = (inOrder(values, positions), Array(feedback.importance[columns]))
    let found = grid.freelyClipped(weights, importance: importance, columns: columns.count)
    let fit = BlockFit(kind: kind)
    let scales = fit.scales(weights.span, importance: importance.span, clipped: found.scales.span)
    for row in 0..<count {
      let groups = row * kind.groupCount..<(row + 1) * kind.groupCount
      let factors = fit.factors(
        scales: scales.span.extracting(groups), biases: found.biases.span.extracting(groups))
      tables.set(factors, block: block, row: row)
    }
  }

  /// Returns weights `[columns, rows]` by position as `[rows, columns]` by column, of positions whose columns
  /// follow each other.
  private func inOrder(_ values: [Float], _ positions: Range<Int>) -> [Float] {
    let first = feedback.order[positions].min() ?? 0
    var inOrder = [Float](repeating: 0, count: values.count)
    for (i, position) in positions.enumerated() {
      let target = (feedback.order[position] - first) * rowCount
      for row in 0..<rowCount { inOrder[target + row] = values[i * rowCount + row] }
    }
    return inOrder.byRows(count, of: rowCount)
  }

  /// Returns the original weights at some positions, and the weights after they took up the errors at all
  /// later ones, `[columns, rows]`.
  func weights(at block: Range<Int>) -> (original: [Float], updated: [Float]) {
    let original = feedback.order[block].flatMap { weights[$0 * rowCount..<($0 + 1) * rowCount] }
    var updated = original
    subtractErrors(of: block.upperBound..<columnCount, from: &updated, block)
    return (original, updated)
  }

  /// Returns updated weights as they are if none of a block is rounded.
  func unrounded(_ weights: (original: [Float], updated: [Float]), _ block: Range<Int>) -> [Float] {
    let (index, layout) = feedback.shares.part(rows: block, columns: block)
    let shares = feedback.shares.blocks[index]
    var values = weights.updated
    var span = values.mutableSpan
    carryErrors(
      to: &span, weights: weights.original.span, shares: MatrixView(shares.span, layout), rowCount: rowCount)
    return values
  }

  /// Rounds the columns at some positions, after those at all later positions.
  mutating func round(_ block: Range<Int>) {
    if let fit = LatticeFit(grid.layout) { return roundPoints(fit, block) }
    let columns = feedback.order[block]
    let (weights, updated) = weights(at: block)
    if !feedback.takesActivationOrder, let first = columns.first {
      let size = grid.layout.blockColumnCount
      if grid.layout.superBlock != nil, block.upperBound % size == 0 {
        let whole = block.upperBound - size..<block.upperBound
        findFactors(of: first / size, unrounded(self.weights(at: whole), whole), whole)
      }
      findTables(of: first / grid.groupSize, unrounded((weights, updated), block), block)
    }
    var values = updated
    let (index, layout) = feedback.shares.part(rows: block, columns: block)
    let shares = feedback.shares.blocks[index]
    var errors = [Float](repeating: 0, count: values.count)
    // If the tables' format rounds a scale to zero, the code does not matter; this avoids a division by zero.
    let scales = self.values(tables.scales, of: columns).map { $0 == 0 ? .leastNormalMagnitude : $0 }
    let biases = self.values(tables.biases, of: columns)
    var valueSpan = values.mutableSpan
    var errorSpan = errors.mutableSpan
    roundColumns(
      values: &valueSpan, errors: &errorSpan, weights: weights.span, shares: MatrixView(shares.span, layout),
      scales: scales.span, biases: biases.span, rowCount: rowCount, top: grid.top)
    for (i, position) in block.enumerated() {
      let column = feedback.order[position]
      for row in 0..<rowCount {
        self.errors[position * rowCount + row] = errors[i * rowCount + row]
        codes[column * rowCount + row] = values[i * rowCount + row]
      }
    }
  }

  /// Returns the tables of each column.
  private func values(_ tables: [Float], of columns: ArraySlice<Int>) -> [Float] {
    columns.flatMap { tables[$0 / grid.groupSize * rowCount..<($0 / grid.groupSize + 1) * rowCount] }
  }

  /// Subtracts the shares of the errors at later positions from the weights of a block.
  private func subtractErrors(of later: Range<Int>, from values: inout [Float], _ block: Range<Int>) {
    guard !later.isEmpty else { return }
    let (index, layout) = feedback.shares.part(rows: block, columns: later)
    let shares = feedback.shares.blocks[index]
    let rounded = MatrixView(errors.span, rows: columnCount, columns: rowCount)[rows: later]
    var target = MutableMatrixView(values.mutableSpan, rows: block.count, columns: rowCount)
    multiply(MatrixView(shares.span, layout), rounded, scale: -1, into: &target, adding: true)
  }

  /// The codes and tables of all rows.
  var packed: PackedTensor {
    PackedTensor(
      codes: grid.packed(codes.byRows(count, of: rowCount).map { UInt8($0) }), tables.byRows)
  }
}
