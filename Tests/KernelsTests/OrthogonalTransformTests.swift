import Foundation
import Testing

import Kernels

@Suite struct OrthogonalTransformTests {
  /// Powers of two, odd numbers, and both factors together: 576 and 1536 are the widths of SmolLM2-135M.
  private static let sizes = [1, 2, 9, 24, 64, 576]

  private func signs(_ count: Int) -> [Double] {
    randomBytes(count, seed: UInt64(count), below: 2).map { $0 == 0 ? -1 : 1 }
  }

  /// The matrix from its definition: `Tₘ ⊗ H · D`, with `Hᵢⱼ = (-1)^popcount(i & j) / √2ᵏ`.
  private func matrix(_ signs: [Double]) -> [[Double]] {
    let size = signs.count
    let power = 1 << size.trailingZeroBitCount
    let odd = size / power
    return (0..<size).map { row in
      (0..<size).map { column in
        let (i, j) = (row % power, column % power)
        let hadamard = (i & j).nonzeroBitCount.isMultiple(of: 2) ? 1.0 : -1
        let angle = 2 * Double.pi * Double(row / power) * Double(column / power) / Double(odd)
        return signs[column] * hadamard * (cos(angle) + sin(angle)) / Double(size).squareRoot()
      }
    }
  }

  @Test(arguments: sizes)
  func `is the product with the matrix of its definition`(size: Int) {
    let signs = signs(size)
    let vector = randomFloats(size, seed: 5)
    let expected = matrix(signs).map { row in Float(zip(row, vector).reduce(0) { $0 + $1.0 * Double($1.1) }) }
    var values = vector
    var span = values.mutableSpan
    OrthogonalTransform(signs: signs).apply(to: &span)
    expectClose(values, expected, relative: 1e-6, absolute: 1e-6)
  }

  @Test(arguments: sizes)
  func `keeps products of vectors and spreads each element over all`(size: Int) {
    let transform = OrthogonalTransform(signs: signs(size))
    let rows = (0..<size).map { i in
      var unit = [Float](repeating: 0, count: size)
      unit[i] = 1
      var span = unit.mutableSpan
      transform.apply(to: &span)
      return unit
    }
    let bound = Float((2 / Double(size)).squareRoot()) + 1e-6
    for i in stride(from: 0, to: size, by: max(1, size / 16)) {
      for j in 0..<size {
        let product = zip(rows[i], rows[j]).reduce(0) { $0 + Double($1.0) * Double($1.1) }
        #expect(abs(product - (i == j ? 1 : 0)) < 1e-5)
      }
      #expect(rows[i].allSatisfy { abs($0) <= bound })
    }
  }
}
