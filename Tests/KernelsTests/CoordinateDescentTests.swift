import Kernels
import Testing

@Suite struct CoordinateDescentTests {
  /// A symmetric matrix with a heavy diagonal, one column of which is zero.
  private func moments(_ order: Int, seed: UInt64) -> [Float] {
    let values = randomFloats(order * order, seed: seed)
    return values.indices.map { i in
      let (row, column) = (i / order, i % order)
      guard row != 3, column != 3 else { return 0 }
      return row == column ? 4 : values[min(row, column) * order + max(row, column)]
    }
  }

  private struct Group {
    var codes: [Float]
    var changes: [Float]
    var hasChanged: Bool
  }

  private func descended(
    rows: Int, order: Int, columns: Range<Int>, top: Float, scale: Float = 0.1, on set: InstructionSet?
  ) -> Group {
    let count = columns.count * rows
    var codes = randomFloats(count, seed: 1, size: top / 2).map { ($0 + top / 2).rounded() }
    let gradient = randomFloats(count, seed: 2)
    let moments = moments(order, seed: 3)
    var changes = [Float](repeating: 7, count: count)
    let (scales, biases) = (
      [Float](repeating: scale, count: rows), randomFloats(rows, seed: 4, size: 0.1)
    )
    var codeSpan = codes.mutableSpan
    var changeSpan = changes.mutableSpan
    let view = MatrixView(moments.span, rows: order, columns: order)
    let hasChanged =
      if let set {
        descend(
          codes: &codeSpan, changes: &changeSpan, gradient: gradient.span, moments: view, columns: columns,
          scales: scales.span, biases: biases.span, top: top, on: set)
      } else {
        descendReference(
          codes: &codeSpan, changes: &changeSpan, gradient: gradient.span, moments: view, columns: columns,
          scales: scales.span, biases: biases.span, top: top)
      }
    return Group(codes: codes, changes: changes, hasChanged: hasChanged)
  }

  @Test(arguments: InstructionSet.supported, [(16, 0..<32, Float(3)), (48, 32..<96, 7), (64, 0..<128, 255)])
  func `chooses the codes that the plain loop chooses, bit by bit`(
    set: InstructionSet, shape: (rows: Int, columns: Range<Int>, top: Float)
  ) {
    let (rows, columns, top) = shape
    let found = descended(rows: rows, order: 128, columns: columns, top: top, on: set)
    let expected = descended(rows: rows, order: 128, columns: columns, top: top, on: nil)
    #expect(found.hasChanged && expected.hasChanged)
    #expect(bits(found.codes) == bits(expected.codes))
    #expect(found.changes == expected.changes)
  }

  @Test(arguments: InstructionSet.supported)
  func `a column that no input reaches keeps its codes`(set: InstructionSet) {
    let before = randomFloats(32 * 16, seed: 1, size: 1.5).map { ($0 + 1.5).rounded() }
    let found = descended(rows: 16, order: 32, columns: 0..<32, top: 3, on: set)
    #expect(found.codes[48..<64] == before[48..<64])
    #expect(found.changes[48..<64].allSatisfy { $0 == 0 })
    #expect(found.codes != before)
  }

  @Test(arguments: InstructionSet.supported)
  func `a group whose scale is zero keeps its codes`(set: InstructionSet) {
    let found = descended(rows: 16, order: 32, columns: 0..<32, top: 3, scale: 0, on: set)
    #expect(!found.hasChanged)
    #expect(found.changes.allSatisfy { $0 == 0 })
  }

  @Test(arguments: InstructionSet.supported, [(8, 16), (64, 48)])
  func `sums groups as the plain loop does, bit by bit`(
    set: InstructionSet, shape: (groupSize: Int, rows: Int)
  ) {
    let (groupSize, rows) = shape
    let (x, y) = (
      randomFloats(3 * groupSize * rows, seed: 1), randomFloats(3 * groupSize * rows, seed: 2)
    )
    var products = [Float](repeating: 7, count: 3 * rows)
    var (sums, expectedProducts, expectedSums) = (products, products, products)
    var productSpan = products.mutableSpan
    var sumSpan = sums.mutableSpan
    sumGroups(
      x.span, y.span, groupSize: groupSize, rowCount: rows, products: &productSpan, sums: &sumSpan, on: set)
    var expectedProductSpan = expectedProducts.mutableSpan
    var expectedSumSpan = expectedSums.mutableSpan
    sumGroupsReference(
      x.span, y.span, groupSize: groupSize, rowCount: rows, products: &expectedProductSpan,
      sums: &expectedSumSpan)
    #expect(bits(products) == bits(expectedProducts))
    #expect(bits(sums) == bits(expectedSums))
  }

  @Test(arguments: [(0, 0), (1, 16), (16, 16), (17, 32), (64, 64)])
  func `rows fill whole vectors`(count: Int, expected: Int) {
    #expect(RowVectors.rowCount(holding: count) == expected)
  }

  @Test(arguments: InstructionSet.supported, [(1, 16), (32, 48), (64, 16), (128, 32)])
  func `rounds columns as the plain loop does, bit by bit`(
    set: InstructionSet, shape: (columns: Int, rows: Int)
  ) {
    let (columns, rows) = shape
    let count = columns * rows
    let weights = randomFloats(count, seed: 1)
    let values = zip(weights, randomFloats(count, seed: 2, size: 0.1)).map { $0 - $1 }
    // A row of the shares is longer than the block.
    let shares = randomFloats(columns * (columns + 3), seed: 3, size: 0.2)
    let view = MatrixView(shares.span, MatrixLayout(rows: columns, columns: columns, stride: columns + 3))
    let scales = randomFloats(count, seed: 4, size: 0.2).map { $0 + 0.5 }
    let biases = randomFloats(count, seed: 5)
    var (found, expected) = (values, values)
    var foundErrors = [Float](repeating: 7, count: count)
    var expectedErrors = foundErrors
    var foundSpan = found.mutableSpan
    var expectedSpan = expected.mutableSpan
    var foundErrorSpan = foundErrors.mutableSpan
    var expectedErrorSpan = expectedErrors.mutableSpan
    roundColumns(
      values: &foundSpan, errors: &foundErrorSpan, weights: weights.span, shares: view, scales: scales.span,
      biases: biases.span, rowCount: rows, top: 3, on: set)
    roundColumnsReference(
      values: &expectedSpan, errors: &expectedErrorSpan, weights: weights.span, shares: view,
      scales: scales.span, biases: biases.span, rowCount: rows, top: 3)
    #expect(bits(found) == bits(expected))
    #expect(bits(foundErrors) == bits(expectedErrors))
    #expect(Set(found).isSubset(of: [0, 1, 2, 3]))
  }

  @Test(arguments: InstructionSet.supported)
  func `carries errors to earlier columns without rounding`(set: InstructionSet) {
    let (columns, rows) = (5, 16)
    let weights = randomFloats(columns * rows, seed: 1)
    let values = randomFloats(columns * rows, seed: 2)
    let shares = randomFloats(columns * columns, seed: 3)
    var found = values
    var span = found.mutableSpan
    carryErrors(
      to: &span, weights: weights.span, shares: MatrixView(shares.span, rows: columns, columns: columns),
      rowCount: rows, on: set)
    var expected = values
    for row in 0..<rows {
      for j in (0..<columns).reversed() {
        for k in j + 1..<max(columns, j + 1) {
          let (own, other) = (j * rows + row, k * rows + row)
          let share = (expected[other] - weights[other]) * shares[j * columns + k]
          expected[own] -= share
        }
      }
    }
    #expect(bits(found) == bits(expected))
  }

  @Test(arguments: InstructionSet.supported)
  func `subtracts weights from the values of codes, bit by bit`(set: InstructionSet) {
    let (groups, size, rows) = (3, 8, 32)
    let count = groups * size * rows
    let (codes, weights) = (randomFloats(count, seed: 1), randomFloats(count, seed: 2))
    let (scales, biases) = (randomFloats(groups * rows, seed: 3), randomFloats(groups * rows, seed: 4))
    var differences = [Float](repeating: 7, count: count)
    var span = differences.mutableSpan
    subtractWeights(
      weights.span, fromCodes: codes.span, scales: scales.span, biases: biases.span, groupSize: size,
      rowCount: rows, into: &span, on: set)
    let expected = (0..<count).map { index in
      let table = index / rows / size * rows + index % rows
      let product = codes[index] * scales[table]
      return product + biases[table] - weights[index]
    }
    #expect(bits(differences) == bits(expected))
  }

  @Test(arguments: InstructionSet.supported, [(1, 1), (3, 5), (4, 4), (16, 17), (21, 64), (64, 35)])
  func `transposes into part of a matrix`(set: InstructionSet, shape: (rows: Int, columns: Int)) {
    let (rows, columns) = shape
    let source = randomFloats(rows * columns, seed: 1)
    var target = [Float](repeating: 7, count: columns * (rows + 2))
    var view = MutableMatrixView(
      target.mutableSpan, MatrixLayout(rows: columns, columns: rows, stride: rows + 2))
    transpose(MatrixView(source.span, rows: rows, columns: columns), into: &view, on: set)
    for j in 0..<columns {
      for i in 0..<rows + 2 {
        #expect(target[j * (rows + 2) + i] == (i < rows ? source[i * columns + j] : 7))
      }
    }
  }
}
