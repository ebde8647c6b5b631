import Kernels

/// Some rows whose codes and tables are refined; stored by columns, `[columns, rows]`.
struct RefinedRows {
  private let refinement: Refinement
  /// The number of rows.
  private let count: Int
  /// The number of rows, rounded up to whole vectors; rows from `count` on are zero.
  private let rowCount: Int
  private let weights: [Float]
  private var codes: [Float]
  /// `[groups, rows]`.
  private var scales: [Float]
  /// `[groups, rows]`.
  private var biases: [Float]
  /// `Wq - W`.
  private var differences: [Float]
  /// `(Wq - W) · S`.
  private var gradient: [Float]

  private var groupSize: Int { refinement.grid.groupSize }
  private var groupCount: Int { refinement.groupCount }
  private var order: Int { refinement.order }
  private var layout: MatrixLayout { MatrixLayout(rows: order, columns: rowCount) }

  /// Begins with the result of a quantizer.
  init(_ refinement: Refinement, _ packed: PackedTensor, _ weights: [Float]) {
    self.refinement = refinement
    let order = refinement.order
    let count = weights.count / order
    let rowCount = RowVectors.rowCount(holding: count)
    self.count = count
    self.rowCount = rowCount
    self.weights = transposed(weights, rows: count, columns: order, into: rowCount)
    let unpacked = refinement.grid.unpacked(packed.codes).map { Float($0) }
    codes = transposed(unpacked, rows: count, columns: order, into: rowCount)
    scales = transposed(packed.scales, rows: count, columns: refinement.groupCount, into: rowCount)
    biases = transposed(packed.biases, rows: count, columns: refinement.groupCount, into: rowCount)
    differences = []
    gradient = []
    differences = differences(scales: scales, biases: biases)
    gradient = gradient(of: differences)
  }

  /// Writes codes and tables back.
  func store(into packed: inout PackedTensor) {
    let codes = transposed(codes, rows: order, columns: rowCount, into: order).prefix(count * order)
    packed.codes = refinement.grid.packed(codes.map { UInt8($0) })
    packed.scales = Array(
      transposed(scales, rows: groupCount, columns: rowCount, into: groupCount).prefix(count * groupCount))
    packed.biases = Array(
      transposed(biases, rows: groupCount, columns: rowCount, into: groupCount).prefix(count * groupCount))
  }

  /// Chooses every code again, one group of columns after the other.
  ///
  /// - Returns: Whether any code changed.
  mutating func sweep() -> Bool {
    var hasChanged = false
    var changes = [Float](repeating: 0, count: groupSize * rowCount)
    for group in 0..<groupCount where choose(group, &changes) {
      hasChanged = true
      apply(changes, of: group)
    }
    return hasChanged
  }

  private func columns(of group: Int) -> Range<Int> { group * groupSize..<(group + 1) * groupSize }

  /// Chooses the codes of a group again.
  private mutating func choose(_ group: Int, _ changes: inout [Float]) -> Bool {
    let columns = columns(of: group)
    let elements = columns.lowerBound * rowCount..<columns.upperBound * rowCount
    let tables = group * rowCount..<(group + 1) * rowCount
    let (order, moments, gradient, top) = (order, refinement.moments, gradient, refinement.grid.top)
    let (scales, biases) = (scales, biases)
    var span = codes.mutableSpan
    var part = span.slice(elements)
    var changeSpan = changes.mutableSpan
    return descend(
      codes: &part, changes: &changeSpan, gradient: gradient.span.extracting(elements), moments: moments.span,
      columns: columns, order: order, scales: scales.span.extracting(tables),
      biases: biases.span.extracting(tables), top: top)
  }

  /// Updates the differences and the gradient of all columns for the changes of one group's weights.
  private mutating func apply(_ changes: [Float], of group: Int) {
    let columns = columns(of: group)
    let elements = columns.lowerBound * rowCount..<columns.upperBound * rowCount
    var differenceSpan = differences.mutableSpan
    var part = differenceSpan.slice(elements)
    addScaled(changes.span, to: &part)
    let (refinement, layout, rowCount) = (refinement, layout, rowCount)
    var target = MutableMatrixView(gradient.mutableSpan, layout)
    multiply(
      refinement.momentsView[columns: columns],
      MatrixView(changes.span, rows: columns.count, columns: rowCount), into: &target, adding: true)
  }

  /// Fits the scales and biases of each row to its codes, unless this raises the row's error.
  mutating func refit() {
    let (scales, biases) = fittedTables()
    let differences = differences(scales: scales, biases: biases)
    let gradient = gradient(of: differences)
    let before = errors(self.differences, self.gradient)
    let after = errors(differences, gradient)
    let isBetter = before.indices.map { after[$0] < before[$0] }
    take(scales, into: &self.scales, where: isBetter)
    take(biases, into: &self.biases, where: isBetter)
    take(differences, into: &self.differences, where: isBetter)
    take(gradient, into: &self.gradient, where: isBetter)
  }

  private func take(_ new: [Float], into old: inout [Float], where isTaken: [Bool]) {
    guard isTaken.contains(false) else { return old = new }
    for start in stride(from: 0, to: new.count, by: rowCount) {
      for row in 0..<rowCount where isTaken[row] { old[start + row] = new[start + row] }
    }
  }

  /// Returns the error of each row.
  private func errors(_ differences: [Float], _ gradient: [Float]) -> [Double] {
    let products = sums(differences, gradient).products
    return (0..<rowCount).map { row in
      (0..<groupCount).reduce(0) { $0 + Double(products[$1 * rowCount + row]) }
    }
  }

  private func sums(_ x: [Float], _ y: [Float]) -> (products: [Float], sums: [Float]) {
    var products = [Float](repeating: 0, count: groupCount * rowCount)
    var sums = products
    var productSpan = products.mutableSpan
    var sumSpan = sums.mutableSpan
    sumGroups(
      x.span, y.span, groupSize: groupSize, rowCount: rowCount, products: &productSpan, sums: &sumSpan)
    return (products, sums)
  }

  private func differences(scales: [Float], biases: [Float]) -> [Float] {
    var values = [Float](repeating: 0, count: weights.count)
    var span = values.mutableSpan
    let (scales, biases) = (scales.span, biases.span)
    let (codes, weights) = (codes.span, weights.span)
    for column in 0..<order {
      let (start, table) = (column * rowCount, column / groupSize * rowCount)
      for row in 0..<rowCount {
        let product = scales[table + row] * codes[start + row]
        span[start + row] = product + biases[table + row] - weights[start + row]
      }
    }
    return values
  }

  private func gradient(of differences: [Float]) -> [Float] {
    product(of: refinement.momentsView, with: MatrixView(differences.span, layout))
  }

  /// Multiplies a part of S with columns.
  private func product(of part: MatrixView<Float>, with x: MatrixView<Float>) -> [Float] {
    var product = Matrix(rows: order, columns: rowCount)
    var target = product.mutableView
    multiply(part, x, into: &target)
    return product.values
  }
}

extension RefinedRows {
  /// Solves each row's normal equations and returns the tables, rounded to their format.
  ///
  /// With Φ the columns' codes by group, beside the groups' indicators, the change d of a row's tables solves
  /// `(Φᵀ · S · Φ + λ · diag) · d = -Φᵀ · S · (wq - w)`; λ is the smallest of 1e-6, 1e-4 and 1e-2 that makes
  /// the system positive definite.
  private func fittedTables() -> (scales: [Float], biases: [Float]) {
    let right = sums(codes, gradient)
    let (codeProducts, codeSums) = momentsOfCodes()
    var (scales, biases) = (scales, biases)
    for row in 0..<count {
      let matrix = normalMatrix(of: row, codeProducts, codeSums)
      let target = [right.products, right.sums].flatMap { sums in
        (0..<groupCount).map { -Double(sums[$0 * rowCount + row]) }
      }
      guard let change = solve(matrix, target) else { continue }
      for group in 0..<groupCount {
        scales[group * rowCount + row] += Float(change[group])
        biases[group * rowCount + row] += Float(change[groupCount + group])
      }
    }
    return (refinement.grid.stored(scales), refinement.grid.stored(biases))
  }

  /// For every pair of groups, returns the codes' products over S, and the sums of S times the second group's
  /// codes: `[groups of columns of S, groups, rows]`.
  private func momentsOfCodes() -> (products: [Float], sums: [Float]) {
    var (products, sums): ([Float], [Float]) = ([], [])
    for group in 0..<groupCount {
      let columns = columns(of: group)
      let product = product(
        of: refinement.momentsView[columns: columns],
        with: MatrixView(codes.span, layout[columns, 0..<rowCount]))
      let reduced = self.sums(codes, product)
      products += reduced.products
      sums += reduced.sums
    }
    return (products, sums)
  }

  /// Returns `Φᵀ · S · Φ` of a row, `[2 * groups, 2 * groups]`, with scales before biases; only the lower
  /// triangle is set.
  private func normalMatrix(of row: Int, _ products: [Float], _ sums: [Float]) -> [Double] {
    let width = 2 * groupCount
    var matrix = [Double](repeating: 0, count: width * width)
    for i in 0..<groupCount {
      for j in 0..<groupCount {
        // S times the columns of group j: multiplied by the codes of group i and summed, and summed alone.
        let index = (j * groupCount + i) * rowCount + row
        matrix[i * width + j] = Double(products[index])
        matrix[(groupCount + i) * width + j] = Double(sums[index])
        matrix[(groupCount + i) * width + groupCount + j] = refinement.pooledMoments[i * groupCount + j]
      }
    }
    return matrix
  }

  private func solve(_ matrix: [Double], _ right: [Double]) -> [Double]? {
    for damping in [1e-6, 1e-4, 1e-2] {
      var (damped, solution) = (matrix, right)
      for i in right.indices {
        // A group of zeros, or of inputs that are always zero, does not change.
        let diagonal = matrix[i * right.count + i]
        damped[i * right.count + i] = diagonal > 0 ? diagonal * (1 + damping) : 1
      }
      var matrixSpan = damped.mutableSpan
      var solutionSpan = solution.mutableSpan
      if solvePositiveDefinite(&matrixSpan, &solutionSpan) {
        return solution.allSatisfy { abs($0) < Double(Float.greatestFiniteMagnitude) } ? solution : nil
      }
    }
    return nil
  }
}

/// Transposes a row-major matrix.
///
/// - Returns: `[columns, width]`; columns of the result beyond `rows` are zero.
private func transposed(_ values: [Float], rows: Int, columns: Int, into width: Int) -> [Float] {
  var result = [Float](repeating: 0, count: columns * width)
  var span = result.mutableSpan
  let source = values.span
  for row in 0..<rows {
    for column in 0..<columns { span[column * width + row] = source[row * columns + column] }
  }
  return result
}
