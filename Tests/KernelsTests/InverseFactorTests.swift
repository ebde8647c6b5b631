import COpenBLAS
import Kernels
import Testing

@Suite struct InverseFactorTests {
  /// A symmetric matrix, positive definite with a positive shift.
  private func symmetric(_ order: Int, shift: Double) -> [Double] {
    let x = square(randomFloats(order * order, seed: 11).map(Double.init), order)
    var product = x.times(x, .transposedLeft).values
    for i in 0..<order {
      for j in 0..<i { product[i * order + j] = product[j * order + i] }
      product[i * (order + 1)] += shift
    }
    return product
  }

  private func square(_ values: [Double], _ order: Int) -> DoubleMatrix {
    DoubleMatrix(rows: order, columns: order, values: values)
  }

  private func expectIdentity(_ matrix: DoubleMatrix, tolerance: Double) {
    let rest = matrix.values.enumerated().map { abs($1 - ($0 % (matrix.rowCount + 1) == 0 ? 1 : 0)) }
    #expect(rest.allSatisfy { $0 < tolerance })
  }

  private func expectZeros(_ values: [Double], _ order: Int, isAbove: Bool) {
    let others = values.indices.filter { isAbove ? $0 % order > $0 / order : $0 % order < $0 / order }
    #expect(others.allSatisfy { values[$0] == 0 })
  }

  @Test(arguments: [1, 2, 3, 17, 64, 257])
  func `the product of the factor with its transpose inverts the matrix`(order: Int) throws {
    let matrix = symmetric(order, shift: 0.5)
    let factor = try #require(inverseFactor(of: matrix, order: order))
    expectZeros(factor, order, isAbove: false)
    let inverse = square(factor, order).times(square(factor, order), .transposedLeft)
    expectIdentity(inverse.times(square(matrix, order)), tolerance: 1e-7)
  }

  @Test(arguments: [1, 2, 3, 17, 64, 257])
  func `the Cholesky factor times its transpose is the matrix`(order: Int) throws {
    let matrix = symmetric(order, shift: 0.5)
    let factor = try #require(choleskyFactor(of: matrix, order: order))
    expectZeros(factor, order, isAbove: true)
    let product = square(factor, order).times(square(factor, order), .transposedRight)
    #expect(zip(product.values, matrix).allSatisfy { abs($0 - $1) < 1e-11 })
  }

  @Test(arguments: [1, 2, 3, 17, 64, 257])
  func `the inverse of the Cholesky factor is one`(order: Int) throws {
    let (factor, inverse) = try #require(
      choleskyFactors(of: symmetric(order, shift: 0.5), order: order))
    expectZeros(inverse, order, isAbove: true)
    expectIdentity(square(factor, order).times(square(inverse, order)), tolerance: 1e-9)
  }

  @Test func `a matrix that is not positive definite has none`() {
    #expect(choleskyFactor(of: [1, 2, 2, 1], order: 2) == nil)
    #expect(inverseFactor(of: [1, 2, 2, 1], order: 2) == nil)
    #expect(inverseFactor(of: [0], order: 1) == nil)
  }

  @Test(arguments: [Double.nan, .infinity, -.infinity], 0..<9)
  func `a matrix that is not finite has none, wherever the element is`(value: Double, index: Int) {
    var matrix: [Double] = [3, 1, 1, 1, 3, 1, 1, 1, 3]
    matrix[index] = value
    #expect(choleskyFactor(of: matrix, order: 3) == nil)
    #expect(choleskyFactors(of: matrix, order: 3) == nil)
    #expect(inverseFactor(of: matrix, order: 3) == nil)
  }

  @Test func `a matrix whose factor overflows has none`() {
    // 1e200 / 1e-120 is more than a double holds.
    #expect(choleskyFactor(of: [1e-240, 1e200, 1e200, 1e300], order: 2) == nil)
    #expect(inverseFactor(of: [1e300, 1e200, 1e200, 1e-240], order: 2) == nil)
    // In the third row an infinity is taken from an infinity.
    #expect(choleskyFactor(of: [1e-240, 0, 1e200, 0, 1, 1, 1e200, 1, 1], order: 3) == nil)
  }

  @Test(arguments: [64, 600])
  func `factors have the same bits on any number of threads, OpenBLAS's own too`(order: Int) throws {
    let matrix = symmetric(order, shift: 0.5)
    let results = try [1, 3].map { count in
      openblas_set_num_threads(Int32(count))
      return try ThreadLimit.with(count) {
        let (factor, inverse) = try #require(choleskyFactors(of: matrix, order: order))
        let upper = try #require(inverseFactor(of: matrix, order: order))
        return (factor + inverse + upper).map(\.bitPattern)
      }
    }
    // As one truth: a failure would otherwise list the differences of all elements, for minutes.
    let isSame = results[0] == results[1]
    #expect(isSame)
  }
}
