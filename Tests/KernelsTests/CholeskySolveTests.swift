import Kernels
import Testing

@Suite struct CholeskySolveTests {
  /// `B · Bᵀ + I` for a random B.
  private func matrix(_ order: Int) -> [Double] {
    let b = randomFloats(order * order, seed: UInt64(order)).map(Double.init)
    return (0..<order * order).map { i in
      let (row, column) = (i / order, i % order)
      return (0..<order).reduce(row == column ? 1 : 0) { $0 + b[row * order + $1] * b[column * order + $1] }
    }
  }

  private func solved(_ matrix: [Double], _ right: [Double]) -> [Double]? {
    var (matrix, solution) = (matrix, right)
    var matrixSpan = matrix.mutableSpan
    var solutionSpan = solution.mutableSpan
    return solvePositiveDefinite(&matrixSpan, &solutionSpan) ? solution : nil
  }

  @Test(arguments: [1, 2, 7, 48])
  func `the matrix times the solution is the right side`(order: Int) throws {
    let matrix = matrix(order)
    let right = randomFloats(order, seed: 9).map(Double.init)
    let solution = try #require(solved(matrix, right))
    for row in 0..<order {
      let product = (0..<order).reduce(0) { $0 + matrix[row * order + $1] * solution[$1] }
      // The matrix's condition number is below 200.
      #expect(abs(product - right[row]) < 1e-12)
    }
  }

  @Test func `what lies above the diagonal is not looked at`() {
    let full = matrix(5)
    let lower = full.indices.map { $0 % 5 > $0 / 5 ? Double.nan : full[$0] }
    #expect(solved(lower, [1, 2, 3, 4, 5]) == solved(full, [1, 2, 3, 4, 5]))
  }

  @Test(arguments: [[0.0], [-1], [.nan], [.infinity]])
  func `a matrix that is not positive definite is none`(matrix: [Double]) {
    #expect(solved(matrix, [1]) == nil)
    #expect(solved([1, 2, 2, 1], [1, 1]) == nil)
  }
}
