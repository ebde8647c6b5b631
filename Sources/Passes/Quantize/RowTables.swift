import Checkpoints
import Kernels

/// The scales and biases of some rows, stored by columns: `[groups, rows]`.
struct RowTables {
  /// The number of rows.
  let count: Int
  /// The number of rows, rounded up to whole vectors.
  let rowCount: Int
  private(set) var scales: [Float]
  private(set) var biases: [Float]
  /// What those of super-blocks are made of; nil in other layouts.
  private(set) var blocks: Blocks?
  /// The zero points that the biases follow from; nil in other layouts.
  private(set) var zeroPoints: Zeros?

  /// The zero points by columns.
  struct Zeros {
    let grid: ZeroPointGrid
    let bits: Int
    /// `[groups, rows]`, whole numbers.
    fileprivate(set) var values: [Float]
  }

  /// The tables of super-blocks by columns.
  struct Blocks {
    let kind: SuperBlock
    /// `[groups, rows]`.
    fileprivate(set) var scaleSteps: [Float]
    /// `[groups, rows]`.
    fileprivate(set) var biasSteps: [Float]
    /// `[blocks, rows]`.
    fileprivate(set) var scaleFactors: [Float]
    /// `[blocks, rows]`.
    fileprivate(set) var biasFactors: [Float]
  }

  /// Tables of 1 and 0.
  init(grid: QuantizationGrid, columns: Int, count: Int, rowCount: Int) {
    (self.count, self.rowCount) = (count, rowCount)
    scales = [Float](repeating: 1, count: columns / grid.groupSize * rowCount)
    biases = [Float](repeating: 0, count: scales.count)
    blocks = grid.layout.superBlock.map { kind in
      let factors = [Float](repeating: 1, count: scales.count / kind.groupCount)
      return Blocks(
        kind: kind, scaleSteps: scales, biasSteps: biases, scaleFactors: factors, biasFactors: factors)
    }
    zeroPoints = grid.layout.zeroPointGrid.map { Zeros(grid: $0, bits: grid.bits, values: biases) }
  }

  /// Takes over tables of rows.
  init(_ tables: GroupTables, count: Int, rowCount: Int) {
    (self.count, self.rowCount) = (count, rowCount)
    scales = tables.scales.byColumns(rows: count, in: rowCount)
    biases = tables.biases.byColumns(rows: count, in: rowCount)
    blocks = tables.blocks.map { blocks in
      Blocks(
        kind: blocks.kind, scaleSteps: blocks.scaleSteps.byColumns(rows: count, in: rowCount),
        biasSteps: blocks.biasSteps.byColumns(rows: count, in: rowCount),
        scaleFactors: blocks.scaleFactors.byColumns(rows: count, in: rowCount),
        biasFactors: blocks.biasFactors.byColumns(rows: count, in: rowCount))
    }
    zeroPoints = tables.zeroPoints.map { zeroPoints in
      Zeros(
        grid: zeroPoints.grid, bits: zeroPoints.bits,
        values: zeroPoints.values.map { Float($0) }.byColumns(rows: count, in: rowCount))
    }
  }

  /// The tables row by row.
  var byRows: GroupTables {
    if let zeroPoints {
      return GroupTables(
        scales: scales.byRows(count, of: rowCount),
        ZeroPoints(
          grid: zeroPoints.grid, bits: zeroPoints.bits, groupsPerRow: scales.count / rowCount,
          values: zeroPoints.values.byRows(count, of: rowCount).map { UInt8($0) }))
    }
    guard let blocks else {
      return GroupTables(
        scales: scales.byRows(count, of: rowCount), biases: biases.byRows(count, of: rowCount))
    }
    return GroupTables(
      BlockTables(
        kind: blocks.kind, scaleSteps: blocks.scaleSteps.byRows(count, of: rowCount),
        biasSteps: blocks.biasSteps.byRows(count, of: rowCount),
        scaleFactors: blocks.scaleFactors.byRows(count, of: rowCount),
        biasFactors: blocks.biasFactors.byRows(count, of: rowCount)))
  }
}

extension RowTables {
  /// Replaces the free tables of a group in a row.
  mutating func set(scale: Float, bias: Float, group: Int, row: Int) {
    scales[group * rowCount + row] = scale
    biases[group * rowCount + row] = bias
  }

  /// Replaces the zero point of a group in a row, and with it its bias.
  mutating func set(zeroPoint: Float, group: Int, row: Int) {
    let index = group * rowCount + row
    zeroPoints?.values[index] = zeroPoint
    biases[index] = ZeroPoints.bias(scale: scales[index], zeroPoint: zeroPoint)
  }

  /// Replaces free tables by their index: all scales, then all biases.
  ///
  /// With zero points, biases follow from the scales.
  mutating func set(_ value: Float, at index: Int) {
    if let zeroPoints {
      guard index < scales.count else { return }
      scales[index] = value
      biases[index] = ZeroPoints.bias(scale: value, zeroPoint: zeroPoints.values[index])
    } else if index < scales.count {
      scales[index] = value
    } else {
      biases[index - scales.count] = value
    }
  }

  /// The factors of a block in a row.
  func factors(block: Int, row: Int) -> BlockFit.Factors {
    guard let blocks else { preconditionFailure("free tables have no factors") }
    return BlockFit.Factors(
      scale: blocks.scaleFactors[block * rowCount + row], bias: blocks.biasFactors[block * rowCount + row])
  }

  /// Replaces the factors of a block in a row, and with them the tables of its groups.
  mutating func set(_ factors: BlockFit.Factors, block: Int, row: Int) {
    guard let groupCount = blocks?.kind.groupCount else { return }
    blocks?.scaleFactors[block * rowCount + row] = factors.scale
    blocks?.biasFactors[block * rowCount + row] = factors.bias
    for group in block * groupCount..<(block + 1) * groupCount { derive(group: group, row: row) }
  }

  /// The integers of a group in a row.
  func steps(group: Int, row: Int) -> (scale: Float, bias: Float) {
    guard let blocks else { preconditionFailure("free tables have no integers") }
    return (blocks.scaleSteps[group * rowCount + row], blocks.biasSteps[group * rowCount + row])
  }

  /// Replaces the integers of a group in a row, and with them its tables.
  mutating func set(steps: (scale: Float, bias: Float), group: Int, row: Int) {
    blocks?.scaleSteps[group * rowCount + row] = steps.scale
    blocks?.biasSteps[group * rowCount + row] = steps.bias
    derive(group: group, row: row)
  }

  /// Computes a group's scale and bias from what they are made of.
  private mutating func derive(group: Int, row: Int) {
    guard let blocks else { return }
    let (index, factor) = (group * rowCount + row, group / blocks.kind.groupCount * rowCount + row)
    scales[index] = blocks.scaleFactors[factor] * blocks.scaleSteps[index]
    biases[index] =
      blocks.kind.zeroPoint.map { 0 - Float($0) * scales[index] }
      ?? (0 - blocks.biasFactors[factor] * blocks.biasSteps[index])
  }
}
