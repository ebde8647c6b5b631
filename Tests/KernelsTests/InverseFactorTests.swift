import COpenBLAS
import Kernels
import Testing

@Suite struct InverseFactorTests {
  /// A symmetric matrix, positive definite with a positive shift.
  private func symmetric(_ order: Int, shift: Double) -> [Double] {
    let x = randomFloats(order * order, seed: 11).map(Double.init)
    return (0..<order * order).map { index in
      let (i, j) = (index / order, index % order)
      let sum = (0..<order).reduce(0) { $0 + x[$1 * order + i] * x[$1 * order + j] }
      return sum + (i == j ? shift : 0)
    }
  }

  @Test(arguments: [1, 2, 3, 17, 64, 257])
  func `the product of the factor with its transpose inverts the matrix`(order: Int) throws {
    let matrix = symmetric(order, shift: 0.5)
    let factor = try #require(inverseFactor(of: matrix, order: order))
    for i in 0..<order {
      for j in 0..<i { #expect(factor[i * order + j] == 0) }
      // Row i of Uᵀ · U · H, which is a row of the identity.
      let product = (0..<order).map { j in
        (0...i).reduce(0) { $0 + factor[$1 * order + i] * factor[$1 * order + j] }
      }
      for k in 0..<order {
        let value = (0..<order).reduce(0) { $0 + product[$1] * matrix[$1 * order + k] }
        #expect(abs(value - (i == k ? 1 : 0)) < 1e-7)
      }
    }
  }

  @Test(arguments: [1, 2, 3, 17, 64, 257])
  func `the Cholesky factor times its transpose is the matrix`(order: Int) throws {
    let matrix = symmetric(order, shift: 0.5)
    let factor = try #require(choleskyFactor(of: matrix, order: order))
    for i in 0..<order {
      for j in 0..<order {
        let value = (0...min(i, j)).reduce(0) { $0 + factor[i * order + $1] * factor[j * order + $1] }
        #expect(abs(value - matrix[i * order + j]) < 1e-11)
        if j > i { #expect(factor[i * order + j] == 0) }
      }
    }
  }

  @Test(arguments: [1, 2, 3, 17, 64, 257])
  func `the inverse of the Cholesky factor is one`(order: Int) throws {
    let (factor, inverse) = try #require(
      choleskyFactors(of: symmetric(order, shift: 0.5), order: order))
    for i in 0..<order {
      for j in 0..<order {
        let value = (0..<order).reduce(0) { $0 + factor[i * order + $1] * inverse[$1 * order + j] }
        #expect(abs(value - (i == j ? 1 : 0)) < 1e-9)
        if j > i { #expect(inverse[i * order + j] == 0) }
      }
    }
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
    #expect(results[0] == results[1])
  }
}
