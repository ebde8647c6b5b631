import Checkpoints
import Kernels

/// Some rows whose codes and tables are refined; stored by columns, `[columns, rows]`.
struct RefinedRows {
  /// The rows of S that are multiplied at once.
  private static let columnsAtOnce = 192
  let refinement: Refinement
  /// The number of rows.
  let count: Int
  /// The number of rows, rounded up to whole vectors; rows from `count` on are zero.
  let rowCount: Int
  private let weights: [Float]
  var codes: [Float]
  var tables: RowTables
  /// `W · S`; empty unless tables are fitted.
  private(set) var weightProducts: [Float] = []
  /// The squared error and the squared norm of the outputs; nil until tables are fitted.
  private(set) var outputSquares: OutputSquares?

  var groupSize: Int { refinement.grid.groupSize }
  private var groupCount: Int { refinement.groupCount }
  var order: Int { refinement.order }
  var layout: MatrixLayout { MatrixLayout(rows: order, columns: rowCount) }

  /// Begins with the result of a quantizer.
  init(_ refinement: Refinement, _ packed: PackedTensor, _ weights: [Float]) {
    self.refinement = refinement
    let order = refinement.order
    let count = weights.count / order
    let rowCount = RowVectors.rowCount(holding: count)
    self.count = count
    self.rowCount = rowCount
    self.weights = weights.byColumns(rows: count, in: rowCount)
    codes = refinement.grid.unpacked(packed.codes).map { Float($0) }.byColumns(rows: count, in: rowCount)
    tables = RowTables(packed.tables, count: count, rowCount: rowCount)
    guard refinement.steps.refits else { return }
    weightProducts = products(with: self.weights)
  }

  /// Writes codes and tables back.
  func store(into packed: inout PackedTensor) {
    packed.codes = refinement.grid.packed(codes.byRows(count, of: rowCount).map { UInt8($0) })
    packed.replaceTables(by: tables.byRows)
    packed.outputSquares = outputSquares
  }

  func columns(of group: Int) -> Range<Int> { columns(of: group..<group + 1) }

  private func columns(of groups: Range<Int>) -> Range<Int> {
    groups.lowerBound * groupSize..<groups.upperBound * groupSize
  }

  /// The elements of some columns, or tables of some groups.
  func elements(_ range: Range<Int>) -> Range<Int> {
    range.lowerBound * rowCount..<range.upperBound * rowCount
  }

  /// Multiplies S with columns of all rows, `[order, rows]`.
  private func products(with x: [Float]) -> [Float] {
    var product = Matrix.unspecified(rows: order, columns: rowCount)
    var target = product.mutableView
    for start in stride(from: 0, to: order, by: Self.columnsAtOnce) {
      let part = start..<min(start + Self.columnsAtOnce, order)
      var rows = target[rows: part]
      multiply(refinement.moments.view[rows: part], MatrixView(x.span, layout), into: &rows)
    }
    return product.values
  }
}

extension RefinedRows {
  /// Chooses every code again, one group of columns after the other; in super-blocks, the small integers of
  /// the group before its codes; zero points, and the integers of points of a lattice, with the codes.
  ///
  /// The gradient of a group, `(Wq - W) · S` in its columns, is computed when the group is reached.
  ///
  /// - Returns: Whether any code changed.
  mutating func sweep() -> Bool {
    var hasChanged = false
    var differences = differences()
    var changes = [Float](repeating: 0, count: groupSize * rowCount)
    var gradient = Matrix(rows: groupSize, columns: rowCount)
    let lattice = LatticeFit(refinement.grid.layout)
    func add(_ changes: [Float], _ columns: Range<Int>) {
      hasChanged = true
      var all = differences.mutableSpan
      var part = all.slice(elements(columns))
      addScaled(changes.span, to: &part)
    }
    for group in 0..<groupCount {
      let columns = columns(of: group)
      var target = gradient.mutableView
      multiply(refinement.moments.view[rows: columns], MatrixView(differences.span, layout), into: &target)
      if let lattice {
        if let moved = choosePoints(lattice, of: group, gradient) { add(moved, columns) }
        continue
      }
      if let moved = chooseSteps(of: group, &gradient) { add(moved, columns) }
      if choosesZeroPoints {
        if let moved = chooseZeroPoints(of: group, gradient) { add(moved, columns) }
      } else if choose(group, gradient.values, &changes) {
        add(changes, columns)
      }
    }
    return hasChanged
  }

  /// Chooses the codes of a group again.
  private mutating func choose(_ group: Int, _ gradient: [Float], _ changes: inout [Float]) -> Bool {
    let columns = columns(of: group)
    let (elements, tables) = (elements(columns), elements(group..<group + 1))
    let (moments, top) = (refinement.moments, refinement.grid.top)
    let (scales, biases) = (self.tables.scales, self.tables.biases)
    var span = codes.mutableSpan
    var part = span.slice(elements)
    var changeSpan = changes.mutableSpan
    return descend(
      codes: &part, changes: &changeSpan, gradient: gradient.span, moments: moments.view, columns: columns,
      scales: scales.span.extracting(tables), biases: biases.span.extracting(tables), top: top)
  }

  /// Returns `Wq - W`.
  private func differences() -> [Float] {
    var values = Matrix.unspecified(rows: order, columns: rowCount).values
    var span = values.mutableSpan
    subtractWeights(
      weights.span, fromCodes: codes.span, scales: tables.scales.span, biases: tables.biases.span,
      groupSize: groupSize,
      rowCount: rowCount, into: &span)
    return values
  }
}

extension RefinedRows {
  /// The smallest of these shares of the diagonal that makes a row's equations positive definite is added to
  /// it.
  static let dampings = [1e-6, 1e-4, 1e-2]

  /// Fits the scales and biases of each row to its codes, unless this raises the row's error.
  ///
  /// With Φ the columns' codes by group, beside the groups' indicators, and t the tables of a row, scales
  /// before biases, the error is `tᵀ · N · t - 2 · tᵀ · b` plus a constant, with `N = Φᵀ · S · Φ` and `b = Φᵀ
  /// · S · w`. The change d of the tables solves `(N + λ · diag) · d = b - N · t`. Rounded to the tables'
  /// format, it changes the error by `dᵀ · N · d - 2 · dᵀ · (b - N · t)`.
  ///
  /// With zero points, Φ has the codes less the zero point, and there are no unknowns for biases.
  mutating func refit() {
    guard tables.blocks == nil else { return refitBlocks() }
    let hasBiases = tables.zeroPoints == nil
    let values = hasBiases ? codes : centeredCodes
    let equations = equations(of: values, hasBiases: hasBiases)
    let target = groupSums(of: values, over: weightProducts, hasBiases: hasBiases)
    let biases = hasBiases ? tables.biases : [Float](repeating: 0, count: tables.biases.count)
    let start = (tables.scales + biases).map { Double($0) }
    var products = equations.times(start)
    let right = zip(target, products).map { $0 - $1 }
    let new = refinement.grid.fitted(start, equations.solved(right, dampings: Self.dampings))
    var change = zip(new, start).map { Double($0) - $1 }
    let changeProducts = equations.times(change)
    let gains = rowSums { change[$0] * (2 * right[$0] - changeProducts[$0]) }
    for index in change.indices {
      if gains[index % rowCount] > 0 {
        tables.set(new[index], at: index)
        products[index] += changeProducts[index]
      } else {
        change[index] = 0
      }
    }
    let fitted = zip(start, change).map { $0 + $1 }
    let reductions = rowSums { fitted[$0] * (2 * target[$0] - products[$0]) }
    measure(reductions)
  }

  /// Sums values with an index `[2 * groups, rows]` over the groups.
  private func rowSums(_ value: (Int) -> Double) -> [Double] {
    var sums = [Double](repeating: 0, count: rowCount)
    for start in stride(from: 0, to: 2 * groupCount * rowCount, by: rowCount) {
      for row in 0..<rowCount { sums[row] += value(start + row) }
    }
    return sums
  }

  /// Records the error of the outputs, which is the squared norm less the reduction by the tables.
  mutating func measure(_ reductions: [Double]) {
    let norms = sums(weights, weightProducts, groupSize: groupSize).products
    var squares = OutputSquares()
    for row in 0..<count {
      let norm = (0..<groupCount).reduce(0) { $0 + Double(norms[$1 * rowCount + row]) }
      squares.norm += norm
      squares.error += max(norm - reductions[row], 0)
    }
    outputSquares = squares
  }

  /// Returns `Φᵀ · x`, `[2 * groups, rows]`; zeros for biases that are no unknowns.
  private func groupSums(of values: [Float], over x: [Float], hasBiases: Bool) -> [Double] {
    let (products, sums) = sums(values, x, groupSize: groupSize)
    return (products + (hasBiases ? sums : [Float](repeating: 0, count: sums.count))).map { Double($0) }
  }

  /// Sums the products of two matrices `[columns, rows]`, and the second one, over each group of columns.
  func sums(_ x: [Float], _ y: [Float], groupSize: Int) -> (products: [Float], sums: [Float]) {
    var products = [Float](repeating: 0, count: x.count / groupSize)
    var sums = products
    var productSpan = products.mutableSpan
    var sumSpan = sums.mutableSpan
    sumGroups(
      x.span, y.span, groupSize: groupSize, rowCount: rowCount, products: &productSpan, sums: &sumSpan)
    return (products, sums)
  }

  /// Returns the matrices N of all rows; the unknowns of biases are zero unless there are biases.
  ///
  /// S is symmetric, so that one of two groups' products is enough. The sums of S over a group's rows are
  /// known, and there are as few of them as groups.
  private func equations(of values: [Float], hasBiases: Bool) -> NormalEquations {
    var products = [Float](repeating: 0, count: groupCount * groupCount * rowCount)
    var sums = products
    var productSpan = products.mutableSpan
    let groupsAtOnce = max(1, 128 / groupSize)
    for first in stride(from: 0, to: groupCount, by: groupsAtOnce) {
      multiplyCodes(values, of: first..<min(first + groupsAtOnce, groupCount), into: &productSpan)
    }
    guard hasBiases else {
      return NormalEquations(
        ofScales: products, groupCount: groupCount, rowCount: rowCount)
    }
    var sumView = MutableMatrixView(sums.mutableSpan, rows: groupCount * groupCount, columns: rowCount)
    let pooled = MatrixView(refinement.momentSums.span, rows: groupCount, columns: order)
    for group in 0..<groupCount {
      let columns = columns(of: group)
      var target = sumView[rows: group * groupCount..<(group + 1) * groupCount]
      multiply(pooled[columns: columns], MatrixView(values.span, layout)[rows: columns], into: &target)
    }
    return NormalEquations(
      products: products, sums: sums, pooled: refinement.pooledMoments, groupCount: groupCount,
      rowCount: rowCount)
  }

  /// Computes the products of some groups' codes with those of every group up to the last of them, over S.
  private func multiplyCodes(
    _ values: [Float], of groups: Range<Int>, into products: inout MutableSpan<Float>
  ) {
    let rows = columns(of: groups)
    let moments = refinement.moments.view[rows: rows]
    let count = groups.count * rowCount
    var product = Matrix(rows: rows.count, columns: rowCount)
    var unused = [Float](repeating: 0, count: count)
    for other in 0..<groups.upperBound {
      let columns = columns(of: other)
      var target = product.mutableView
      multiply(moments[columns: columns], MatrixView(values.span, layout)[rows: columns], into: &target)
      let start = (other * groupCount + groups.lowerBound) * rowCount
      var part = products.slice(start..<start + count)
      var unusedSpan = unused.mutableSpan
      sumGroups(
        values.span.extracting(elements(rows)), product.values.span, groupSize: groupSize, rowCount: rowCount,
        products: &part, sums: &unusedSpan)
    }
  }
}

extension [Float] {
  /// Returns a row-major matrix by columns.
  ///
  /// - Parameters:
  ///   - rows: The number of rows.
  ///   - width: The number of rows to make room for; the others are zero.
  /// - Returns: `[columns, width]`.
  func byColumns(rows: Int, in width: Int) -> [Float] {
    let columns = count / Swift.max(rows, 1)
    var result = [Float](repeating: 0, count: columns * width)
    var target = MutableMatrixView(
      result.mutableSpan, MatrixLayout(rows: columns, columns: rows, stride: width))
    transpose(MatrixView(span, rows: rows, columns: columns), into: &target)
    return result
  }

  /// Returns the first rows of a matrix by columns as a row-major one.
  ///
  /// - Parameters:
  ///   - rows: The number of rows to return.
  ///   - width: The number of rows that there is room for.
  /// - Returns: `[rows, columns]`.
  func byRows(_ rows: Int, of width: Int) -> [Float] {
    let columns = count / Swift.max(width, 1)
    var result = [Float](repeating: 0, count: rows * columns)
    var target = MutableMatrixView(result.mutableSpan, rows: rows, columns: columns)
    transpose(MatrixView(span, MatrixLayout(rows: columns, columns: rows, stride: width)), into: &target)
    return result
  }
}

extension QuantizationGrid {
  /// Adds the changes of fitted tables, and rounds the tables to their format.
  fileprivate func fitted(_ tables: [Double], _ changes: [Double]) -> [Float] {
    let sums = zip(tables, changes).map { Float($0) + Float($1) }
    guard layout.zeroPointGrid != nil else { return stored(sums) }
    return self.tables.storedScales(Array(sums[..<(sums.count / 2)])) + sums[(sums.count / 2)...]
  }
}
