import Checkpoints
import Kernels

// Super-blocks: the factors of a block are fitted to codes and integers, and integers are chosen again.

extension RefinedRows {
  /// Chooses the integers of a group again.
  ///
  /// With q the codes of a row in the group and g the gradient, a change of the scale by s and of the bias by
  /// b adds `e = s · q + b` to the weights, and `e · S · eᵀ + 2 · e · g` to the error. The integers nearest to
  /// the minimum, and those beside them, are tried.
  ///
  /// - Parameters:
  ///   - group: The group.
  ///   - gradient: `(Wq - W) · S` in the columns of the group, `[columns, rows]`; brought up to date.
  /// - Returns: The changes of the weights, `[columns, rows]`; nil when there are none.
  mutating func chooseSteps(of group: Int, _ gradient: inout Matrix) -> [Float]? {
    guard let kind = tables.blocks?.kind else { return nil }
    let columns = columns(of: group)
    let allMoments = refinement.moments
    let moments = allMoments.view[rows: columns][columns: columns]
    let codes = Array(codes[elements(columns)])
    var products = Matrix.unspecified(rows: groupSize, columns: rowCount)
    var target = products.mutableView
    multiply(moments, MatrixView(codes.span, rows: groupSize, columns: rowCount), into: &target)
    let (squares, codeSums) = sums(codes, products.values, groupSize: groupSize)
    let (slopes, slopeSums) = sums(codes, gradient.values, groupSize: groupSize)
    let momentSum = (0..<groupSize).reduce(Float(0)) { sum, row in
      let elements = moments.row(row)
      return elements.indices.reduce(sum) { $0 + elements[$1] }
    }
    var changes = [Float](repeating: 0, count: codes.count)
    var hasChanged = false
    for row in 0..<count {
      let error = TableError(
        squares: squares[row], products: codeSums[row], sums: momentSum, slope: slopes[row],
        slopeSum: slopeSums[row])
      let index = group * rowCount + row
      let (scale, bias) = (tables.scales[index], tables.biases[index])
      let factors = tables.factors(block: group / kind.groupCount, row: row)
      guard
        let steps = error.bestSteps(
          of: kind, scale: scale, bias: bias, factors, current: tables.steps(group: group, row: row))
      else { continue }
      hasChanged = true
      tables.set(steps: steps, group: group, row: row)
      let (scaleChange, biasChange) = (tables.scales[index] - scale, tables.biases[index] - bias)
      for i in stride(from: row, to: codes.count, by: rowCount) {
        changes[i] = scaleChange * codes[i] + biasChange
      }
    }
    guard hasChanged else { return nil }
    var updated = gradient.mutableView
    multiply(
      moments, MatrixView(changes.span, rows: groupSize, columns: rowCount), into: &updated, adding: true)
    return changes
  }
}

/// The change of a row's error by changes of a group's scale and bias.
private struct TableError {
  /// `q · S · qᵀ`.
  let squares: Float
  /// `q · S · 1ᵀ`.
  let products: Float
  /// `1 · S · 1ᵀ`.
  let sums: Float
  /// `q · gᵀ`.
  let slope: Float
  /// `1 · gᵀ`.
  let slopeSum: Float

  private func change(scale: Float, bias: Float) -> Float {
    let quadratic = squares * scale * scale + 2 * products * scale * bias + sums * bias * bias
    return quadratic + 2 * (slope * scale + slopeSum * bias)
  }

  /// Returns the integers that lower the error most; nil when the current ones are the best.
  func bestSteps(
    of kind: SuperBlock, scale: Float, bias: Float, _ factors: BlockFit.Factors,
    current: (scale: Float, bias: Float)
  ) -> (scale: Float, bias: Float)? {
    var (least, result): (Float, (scale: Float, bias: Float)?) = (0, nil)
    func attempt(_ steps: (scale: Float, bias: Float)) {
      guard steps != current else { return }
      let newScale = factors.scale * steps.scale
      let newBias = kind.zeroPoint.map { 0 - Float($0) * newScale } ?? (0 - factors.bias * steps.bias)
      let change = change(scale: newScale - scale, bias: newBias - bias)
      if change < least { (least, result) = (change, steps) }
    }
    if let zero = kind.zeroPoint.map({ Float($0) }) {
      let curvature = squares - 2 * zero * products + zero * zero * sums
      guard curvature > 0 else { return nil }
      let best = scale - (slope - zero * slopeSum) / curvature
      for step in BlockFit.around(best, factors.scale, kind.scaleSteps) { attempt((step, 0)) }
      return result
    }
    let determinant = squares * sums - products * products
    guard determinant > 0 else { return nil }
    let bestScale = scale - (slope * sums - slopeSum * products) / determinant
    let bestBias = bias - (slopeSum * squares - slope * products) / determinant
    for step in BlockFit.around(bestScale, factors.scale, kind.scaleSteps) {
      // Of all biases, the best for this scale.
      let rest = slopeSum + products * (factors.scale * step - scale)
      let matching = sums > 0 ? bias - rest / sums : bestBias
      for offset in BlockFit.around(-matching, factors.bias, kind.biasSteps) { attempt((step, offset)) }
    }
    return result
  }
}

extension RefinedRows {
  /// Fits the factors of each row's blocks to its codes and integers, unless this raises the row's error.
  ///
  /// As `refit` for free tables, with the integers times the codes in place of the codes, and the integers of
  /// the biases in place of the indicators.
  mutating func refitBlocks() {
    guard let blocks = tables.blocks else { return }
    let equations = BlockEquations(self, blocks)
    let targets = equations.sums(with: weightProducts)
    var reductions = [Double](repeating: 0, count: rowCount)
    let blockCount = order / SuperBlock.columnCount
    for row in 0..<count {
      let current = (0..<blockCount).map { tables.factors(block: $0, row: row) }
      let minima = equations.hasBiases ? current.map { -Double($0.bias) } : []
      let start = current.map { Double($0.scale) } + minima
      let target = targets.map { $0[row] }
      let right = zip(target, equations.product(start, row: row)).map { $0 - $1 }
      var fitted = start
      if let solution = equations.solution(right, row: row, dampings: Self.dampings) {
        let new = zip(start, solution).map { Double(BlockFit.stored(Float($0 + $1))) }
        let change = zip(new, start).map { $0 - $1 }
        let products = equations.product(change, row: row)
        let gain = change.indices.reduce(0.0) { $0 + change[$1] * (2 * right[$1] - products[$1]) }
        if gain > 0 {
          fitted = new
          for block in 0..<blockCount {
            let bias = equations.hasBiases ? -Float(new[blockCount + block]) : 0
            tables.set(BlockFit.Factors(scale: Float(new[block]), bias: bias), block: block, row: row)
          }
        }
      }
      let products = equations.product(fitted, row: row)
      reductions[row] = fitted.indices.reduce(0.0) { $0 + fitted[$1] * (2 * target[$1] - products[$1]) }
    }
    measure(reductions)
  }
}

/// The normal equations of the factors of many rows.
///
/// The unknowns of a row are d of each block, then minus dmin of each. Their columns of Φ hold the integers of
/// the scales times the codes, and the integers of the biases; without minima, the codes less the zero.
private struct BlockEquations {
  /// Whether there are unknowns for biases.
  let hasBiases: Bool
  private let rowCount: Int
  /// The columns of Φ that belong to d, `[columns, rows]`.
  private let scaleValues: [Float]
  /// The columns of Φ that belong to dmin, `[columns, rows]`; empty without minima.
  private let biasValues: [Float]
  /// `Φᵀ · S · Φ`: the rows of unknowns `i` and `j`, `j` at least `i`.
  private var elements: [[[Float]]] = []

  init(_ rows: RefinedRows, _ blocks: RowTables.Blocks) {
    rowCount = rows.rowCount
    let (kind, rowCount) = (blocks.kind, rows.rowCount)
    hasBiases = kind.zeroPoint == nil
    let zero = Float(kind.zeroPoint ?? 0)
    var scaleValues = rows.codes
    var biasValues = hasBiases ? rows.codes : []
    let span = rows.groupSize * rowCount
    for i in scaleValues.indices {
      let table = i / span * rowCount + i % rowCount
      scaleValues[i] = (scaleValues[i] - zero) * blocks.scaleSteps[table]
      if hasBiases { biasValues[i] = blocks.biasSteps[table] }
    }
    (self.scaleValues, self.biasValues) = (scaleValues, biasValues)
    let blockCount = rows.order / SuperBlock.columnCount
    let moments = rows.refinement.moments.view
    let groupSums = MatrixView(
      rows.refinement.momentSums.span, rows: rows.refinement.groupCount, columns: rows.order)
    // The products of S with each unknown's column, in the order of the unknowns.
    var columns: [[[Float]]] = []
    var product = Matrix.unspecified(rows: rows.order, columns: rowCount)
    for block in 0..<blockCount {
      let part = block * SuperBlock.columnCount..<(block + 1) * SuperBlock.columnCount
      var target = product.mutableView
      multiply(
        moments[columns: part], MatrixView(scaleValues.span, rows.layout)[rows: part], into: &target)
      columns.append(Self.sums(rows, scaleValues, biasValues, product.values, rowCount))
    }
    for block in 0..<(hasBiases ? blockCount : 0) {
      let part = block * kind.groupCount..<(block + 1) * kind.groupCount
      var target = product.mutableView
      multiply(
        groupSums[rows: part].transposed,
        MatrixView(blocks.biasSteps.span, rows: rows.refinement.groupCount, columns: rowCount)[rows: part],
        into: &target)
      columns.append(Self.sums(rows, scaleValues, biasValues, product.values, rowCount))
    }
    elements = columns
  }

  /// Returns the products of all columns of Φ with a matrix `[columns, rows]`, by unknown.
  private static func sums(
    _ rows: RefinedRows, _ scaleValues: [Float], _ biasValues: [Float], _ y: [Float], _ rowCount: Int
  ) -> [[Float]] {
    [scaleValues, biasValues].filter { !$0.isEmpty }.flatMap { values in
      let sums = rows.sums(values, y, groupSize: SuperBlock.columnCount).products
      return stride(from: 0, to: sums.count, by: rowCount).map { Array(sums[$0..<$0 + rowCount]) }
    }
  }

  /// Returns `Φᵀ · y` by unknown and row.
  func sums(with y: [Float]) -> [[Double]] {
    var result: [[Double]] = []
    for values in [scaleValues, biasValues] where !values.isEmpty {
      let block = SuperBlock.columnCount * rowCount
      for start in stride(from: 0, to: values.count, by: block) {
        var sums = [Double](repeating: 0, count: rowCount)
        for i in start..<start + block { sums[i % rowCount] += Double(values[i] * y[i]) }
        result.append(sums)
      }
    }
    return result
  }

  private func element(_ i: Int, _ j: Int, row: Int) -> Double {
    // Of both, which differ by rounding, always the same one.
    Double(elements[max(i, j)][min(i, j)][row])
  }

  /// Multiplies a row's matrix with a vector.
  func product(_ x: [Double], row: Int) -> [Double] {
    x.indices.map { i in x.indices.reduce(0) { $0 + element(i, $1, row: row) * x[$1] } }
  }

  /// Solves a row's equations; nil when no damping makes them definite, or the solution is no float.
  func solution(_ right: [Double], row: Int, dampings: [Double]) -> [Double]? {
    for damping in dampings {
      var matrix = [Double](repeating: 0, count: right.count * right.count)
      for i in right.indices {
        for j in 0...i { matrix[i * right.count + j] = element(i, j, row: row) }
        let diagonal = matrix[i * (right.count + 1)]
        matrix[i * (right.count + 1)] = diagonal > 0 ? diagonal * (1 + damping) : 1
      }
      var solution = right
      var matrixSpan = matrix.mutableSpan
      var span = solution.mutableSpan
      guard solvePositiveDefinite(&matrixSpan, &span) else { continue }
      return solution.allSatisfy { abs($0) < Double(Float.greatestFiniteMagnitude) } ? solution : nil
    }
    return nil
  }
}
