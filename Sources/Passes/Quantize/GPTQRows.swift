import Kernels

/// Some rows during GPTQ's rounding, one block of columns after the other; stored by columns, `[columns,
/// rows]`.
struct GPTQRows {
  private let grid: QuantizationGrid
  private let feedback: GPTQFeedback
  private let count: Int
  /// The number of rows, rounded up to whole vectors.
  private let rowCount: Int
  /// By column; zero where the input is always zero.
  private let weights: [Float]
  /// By position, the errors of the columns that are rounded.
  private var errors: [Float]
  /// By column.
  private var codes: [Float]
  /// `[groups, rows]`.
  private var scales: [Float]
  /// `[groups, rows]`.
  private var biases: [Float]

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
    scales = [Float](repeating: 1, count: columnCount / grid.groupSize * rowCount)
    biases = [Float](repeating: 0, count: scales.count)
  }

  /// Computes the tables of all groups from the original weights.
  mutating func fixTables(_ weights: [Float]) {
    let tables = grid.clipped(weights, importance: feedback.importance, columns: columnCount)
    scales = tables.scales.byColumns(rows: count, in: rowCount)
    biases = tables.biases.byColumns(rows: count, in: rowCount)
  }

  /// Computes the tables of a group from its weights after they took up the errors, `[columns, rows]` by
  /// position.
  private mutating func findTables(of group: Int, _ values: [Float], _ block: Range<Int>) {
    let columns = group * grid.groupSize..<(group + 1) * grid.groupSize
    var inOrder = [Float](repeating: 0, count: values.count)
    for (i, position) in block.enumerated() {
      let target = (feedback.order[position] - columns.lowerBound) * rowCount
      for row in 0..<rowCount { inOrder[target + row] = values[i * rowCount + row] }
    }
    let tables = grid.clipped(
      inOrder.byRows(count, of: rowCount), importance: Array(feedback.importance[columns]),
      columns: columns.count)
    for row in 0..<count {
      scales[group * rowCount + row] = tables.scales[row]
      biases[group * rowCount + row] = tables.biases[row]
    }
  }

  /// Rounds the columns at some positions, after those at all later positions.
  mutating func round(_ block: Range<Int>) {
    let columns = feedback.order[block]
    let weights = columns.flatMap { self.weights[$0 * rowCount..<($0 + 1) * rowCount] }
    var values = weights
    subtractErrors(of: block.upperBound..<columnCount, from: &values, block)
    let (index, layout) = feedback.shares.part(rows: block, columns: block)
    let shares = feedback.shares.blocks[index]
    if !feedback.takesActivationOrder, let first = columns.first {
      var unrounded = values
      var span = unrounded.mutableSpan
      carryErrors(
        to: &span, weights: weights.span, shares: MatrixView(shares.span, layout), rowCount: rowCount)
      findTables(of: first / grid.groupSize, unrounded, block)
    }
    var errors = [Float](repeating: 0, count: values.count)
    // If the tables' format rounds a scale to zero, the code does not matter; this avoids a division by zero.
    let scales = tables(scales, of: columns).map { $0 == 0 ? .leastNormalMagnitude : $0 }
    let biases = tables(biases, of: columns)
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
  private func tables(_ tables: [Float], of columns: ArraySlice<Int>) -> [Float] {
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
      codes: grid.packed(codes.byRows(count, of: rowCount).map { UInt8($0) }),
      scales: scales.byRows(count, of: rowCount), biases: biases.byRows(count, of: rowCount))
  }
}
