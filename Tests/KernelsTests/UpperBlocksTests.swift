import Kernels
import Testing

@Suite struct UpperBlocksTests {
  /// A symmetric matrix with a heavy diagonal.
  private func element(_ i: Int, _ j: Int) -> Double {
    1 / Double(1 + abs(i - j)) + (i == j ? 1 + Double(i % 7) : 0)
  }

  private func factor(_ order: Int, _ element: @escaping @Sendable (Int, Int) -> Double) -> UpperBlocks<
    Double
  >? {
    var blocks = UpperBlocks(order: order) { row, first, elements in
      for k in elements.indices { elements[k] = element(row, first + k) }
    }
    return blocks.factor() ? blocks : nil
  }

  private func value<T>(_ i: Int, _ j: Int, of matrix: UpperBlocks<T>) -> T {
    let (block, layout) = matrix.part(rows: i..<i + 1, columns: j..<j + 1)
    return matrix.blocks[block][layout.offset]
  }

  /// Sizes around a tile of 128 rows and a block of 256.
  @Test(arguments: [1, 2, 127, 255, 256, 257, 385, 520])
  func `the factor's transpose times the factor is the matrix`(order: Int) throws {
    let factor = try #require(factor(order) { i, j in self.element(i, j) })
    for i in stride(from: 0, to: order, by: 13) {
      for j in stride(from: i, to: order, by: 7) {
        let sum = (0...i).reduce(0.0) { $0 + value($1, i, of: factor) * value($1, j, of: factor) }
        // Elements are below 9, sums in double precision.
        #expect(abs(sum - element(i, j)) < 1e-12)
      }
    }
  }

  /// Orders around a block of 256, rows around a chunk of 64.
  @Test(arguments: [(1, 1), (255, 3), (256, 64), (257, 65), (520, 130)])
  func `a divided matrix times the factored one is the matrix`(order: Int, rowCount: Int) throws {
    let factor = try #require(factor(order) { i, j in self.element(i, j) })
    let matrix = (0..<rowCount * order).map { Double(($0 * 37) % 101) / 50 - 1 }
    var divided = DoubleMatrix(rows: rowCount, columns: order, values: matrix)
    factor.divide(&divided)
    for i in stride(from: 0, to: rowCount, by: 11) {
      for j in stride(from: 0, to: order, by: 7) {
        let sum = (0..<order).reduce(0.0) { $0 + divided.values[i * order + $1] * element($1, j) }
        // Elements are below 9 and 1, the eigenvalues of the matrix above 1/2.
        #expect(abs(sum - matrix[i * order + j]) < 1e-12)
      }
    }
  }

  @Test(arguments: [1, 2, 5])
  func `a divided matrix does not depend on the number of threads`(threads: Int) throws {
    let factor = try #require(factor(520) { i, j in self.element(i, j) })
    let divided = [1, threads].map { count in
      ThreadLimit.with(count) {
        var matrix = DoubleMatrix(
          rows: 150, columns: 520, values: (0..<150 * 520).map { Double($0 % 17) - 8 })
        factor.divide(&matrix)
        return matrix
      }
    }
    #expect(divided[0] == divided[1])
  }

  @Test func `unit rows are rows divided by their diagonal`() throws {
    let factor = try #require(factor(300) { i, j in self.element(i, j) })
    let units = factor.unitRows()
    for (i, j) in [(0, 0), (0, 299), (255, 256), (256, 256), (270, 281)] {
      #expect(value(i, j, of: units) == Float(value(i, j, of: factor) / value(i, i, of: factor)))
    }
  }

  @Test(arguments: [1, 2, 5])
  func `the factor does not depend on the number of threads`(threads: Int) throws {
    let one = try ThreadLimit.with(1) { try #require(factor(520) { i, j in self.element(i, j) }) }
    let some = try ThreadLimit.with(threads) { try #require(factor(520) { i, j in self.element(i, j) }) }
    #expect(one.blocks == some.blocks)
  }

  @Test(arguments: [3, 300])
  func `a matrix that is not definite, or not finite, has none`(order: Int) {
    #expect(factor(order) { i, j in i == j ? 1 : 2 } == nil)
    #expect(factor(order) { i, j in i == j ? (i == order - 1 ? -1 : 1) : 0 } == nil)
    #expect(factor(order) { i, j in i == 1 && j == 1 ? .nan : self.element(i, j) } == nil)
  }
}
