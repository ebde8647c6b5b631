import Kernels
import Testing

@Suite struct NormalEquationsTests {
  /// A group whose codes are all equal in a row makes its matrix singular but for the damping of 1e-6, so
  /// that the condition number is up to 1e8.
  private static let tolerance = 1e-8
  private static let dampings = [1e-6, 1e-4, 1e-2]

  /// Equations of random codes over `S = B · Bᵀ + 1`; groups of 4 columns.
  private func equations(groups: Int, rows: Int, emptyGroup: Int? = nil) -> NormalEquations {
    let (size, order) = (4, 4 * groups)
    let b = randomFloats(order * order, seed: UInt64(groups)).map(Double.init)
    let moments = (0..<order * order).map { index in
      let (i, j) = (index / order, index % order)
      return (0..<order).reduce(i == j ? 1.0 : 0) { $0 + b[i * order + $1] * b[j * order + $1] }
    }
    let codes = randomFloats(order * rows, seed: 5, size: 1.5).enumerated().map { index, value in
      index / rows / size == emptyGroup ? 0.0 : Double((value + 1.5).rounded())
    }
    func sum(_ i: Int, _ j: Int, _ value: (Int, Int) -> Double) -> Double {
      var sum = 0.0
      for x in i * size..<(i + 1) * size {
        for y in j * size..<(j + 1) * size { sum += value(x, y) * moments[x * order + y] }
      }
      return sum
    }
    var (products, sums): ([Float], [Float]) = ([], [])
    for i in 0..<groups {
      for j in 0..<groups {
        for row in 0..<rows {
          products.append(
            j < i ? .nan : Float(sum(i, j) { codes[$0 * rows + row] * codes[$1 * rows + row] }))
          sums.append(Float(sum(i, j) { x, _ in codes[x * rows + row] }))
        }
      }
    }
    let pooled = (0..<groups * groups).map { sum($0 / groups, $0 % groups) { _, _ in 1 } }
    return NormalEquations(products: products, sums: sums, pooled: pooled, groupCount: groups, rowCount: rows)
  }

  private func numbers(_ count: Int) -> [Double] { randomFloats(count, seed: 8).map(Double.init) }

  /// A system has two unknowns for each group, a block 16.
  @Test(arguments: InstructionSet.supported, [(1, 16), (7, 32), (8, 16), (9, 16), (24, 16), (33, 16)])
  func `solves what the plain loop solves`(set: InstructionSet, shape: (groups: Int, rows: Int)) throws {
    let equations = equations(groups: shape.groups, rows: shape.rows)
    let right = numbers(2 * shape.groups * shape.rows)
    let found = equations.solved(right, dampings: Self.dampings, on: set)
    for row in 0..<shape.rows {
      let expected = try #require(equations.solvedReference(right, damping: 1e-6, row: row))
      for (i, value) in expected.enumerated() {
        #expect(abs(found[i * shape.rows + row] - value) < Self.tolerance * max(1, abs(value)))
      }
    }
  }

  @Test(arguments: InstructionSet.supported, [(1, 16), (9, 32)])
  func `multiplies as the plain loop does`(set: InstructionSet, shape: (groups: Int, rows: Int)) {
    let equations = equations(groups: shape.groups, rows: shape.rows)
    let x = numbers(2 * shape.groups * shape.rows)
    let found = equations.times(x, on: set)
    for row in 0..<shape.rows {
      for (i, value) in equations.timesReference(x, row: row).enumerated() {
        #expect(abs(found[i * shape.rows + row] - value) < Self.tolerance * max(1, abs(value)))
      }
    }
  }

  @Test(arguments: InstructionSet.supported)
  func `a group whose codes are all zero gets its right side`(set: InstructionSet) {
    let equations = equations(groups: 5, rows: 16, emptyGroup: 3)
    let right = numbers(10 * 16)
    let found = equations.solved(right, dampings: Self.dampings, on: set)
    #expect(found[3 * 16..<4 * 16] == right[3 * 16..<4 * 16])
  }

  @Test(arguments: InstructionSet.supported)
  func `a row that is not definite is zero or damped, and leaves those beside it alone`(set: InstructionSet) {
    // Row r has [[1, c], [c, 1]]: c is 1 in row 3, 2 in row 4 and 0 elsewhere.
    let sums = (0..<16).map { Float($0 == 3 ? 1 : $0 == 4 ? 2 : 0) }
    let equations = NormalEquations(
      products: [Float](repeating: 1, count: 16), sums: sums, pooled: [1], groupCount: 1, rowCount: 16)
    let found = equations.solved([Double](repeating: 1, count: 32), dampings: [0, 0.5], on: set)
    for row in 0..<16 {
      let expected = row == 3 ? 0.4 : row == 4 ? 0 : 1
      #expect(abs(found[row] - expected) < 1e-12 && abs(found[16 + row] - expected) < 1e-12)
    }
  }
}
