import Kernels
import TestSupport
import Testing

@Suite struct MatrixProductTests {
  /// A sum of k products in f32 differs from the exact one by at most about k · 2⁻²⁴ of the sum of absolute products,
  /// which is below k for values up to 1 in size.
  private func tolerance(_ k: Int) -> Float { Float(k * k) * 0x1p-24 + 1e-6 }

  private static let shapes: [[Int]] = [
    [1, 1, 1], [1, 16, 3], [3, 5, 7], [6, 16, 256], [7, 17, 257], [12, 32, 64], [13, 33, 300], [25, 31, 512],
    [5, 2, 0],
    [64, 48, 513], [70, 100, 650],
  ]

  @Test(arguments: InstructionSet.supported, shapes)
  func `equals the plain loops for every kind`(set: InstructionSet, shape: [Int]) {
    var random = SplitMix64(seed: 11)
    let (m, n, k) = (shape[0], shape[1], shape[2])
    for kind in [MatrixProduct.plain, .transposedRight, .transposedLeft] {
      let left = kind == .transposedLeft ? (k, m) : (m, k)
      let right = kind == .transposedRight ? (n, k) : (k, n)
      // Offsets and strides larger than the rows: what lies between must neither be read into sums nor written.
      let a = MatrixLayout(rows: left.0, columns: left.1, offset: 3, stride: left.1 + 2)
      let b = MatrixLayout(rows: right.0, columns: right.1, offset: 1, stride: right.1 + 5)
      let c = MatrixLayout(rows: m, columns: n, offset: 2, stride: n + 3)
      let x = (0..<left.0 * (left.1 + 2) + 5).map { _ in Float.random(in: -1...1, using: &random) }
      let y = (0..<right.0 * (right.1 + 5) + 5).map { _ in Float.random(in: -1...1, using: &random) }
      for keep: Float in [0, 1, 0.5] {
        let start = (0..<m * (n + 3) + 5).map { _ in Float.random(in: -1...1, using: &random) }
        var expected = start
        var result = start
        var expectedSpan = expected.mutableSpan
        multiplyReference(kind, x.span, a, y.span, b, scale: 0.75, keep: keep, into: &expectedSpan, c)
        var span = result.mutableSpan
        multiply(kind, x.span, a, y.span, b, scale: 0.75, keep: keep, into: &span, c, on: set)
        let largest = zip(result, expected).map { abs($0 - $1) }.max() ?? 0
        #expect(largest <= tolerance(k), "\(kind), keep \(keep)")
        for (i, value) in result.enumerated() where (i - 2) % (n + 3) >= n || i < 2 {
          #expect(value == start[i], "element \(i) lies outside the result")
        }
      }
    }
  }

  @Test(arguments: InstructionSet.supported, shapes)
  func `with doubles whole numbers come out exactly`(set: InstructionSet, shape: [Int]) {
    for kind in [MatrixProduct.plain, .transposedRight, .transposedLeft] {
      for keep: Float in [0, 2] {
        let product = ProductInDoubles(kind, shape, keep: keep, on: set)
        #expect(product.result == product.expected, "\(kind), keep \(keep)")
      }
    }
  }

  @Test func `without keeping, what was there does not matter, not even NaN`() {
    let layout = MatrixLayout(rows: 1, columns: 1)
    var result: [Float] = [.nan]
    var span = result.mutableSpan
    multiply(.plain, [2].span, layout, [3].span, layout, into: &span, layout)
    #expect(result == [6])
  }
}

/// A product of small whole numbers with doubles, and what it must be.
private struct ProductInDoubles {
  let result: [Double]
  let expected: [Double]

  init(_ kind: MatrixProduct, _ shape: [Int], keep: Float, on set: InstructionSet) {
    let (m, n, k) = (shape[0], shape[1], shape[2])
    let left = kind == .transposedLeft ? (k, m) : (m, k)
    let right = kind == .transposedRight ? (n, k) : (k, n)
    let a = MatrixLayout(rows: left.0, columns: left.1, offset: 3, stride: left.1 + 2)
    let b = MatrixLayout(rows: right.0, columns: right.1, offset: 1, stride: right.1 + 5)
    let c = MatrixLayout(rows: m, columns: n, offset: 2, stride: n + 3)
    var random = SplitMix64(seed: 12)
    let x = Self.wholeNumbers(left.0 * a.stride + 5, &random)
    let y = Self.wholeNumbers(right.0 * b.stride + 5, &random)
    let before = Self.wholeNumbers(m * c.stride + 5, &random)
    result = Self.inDoubles(kind, x, a, y, b, keep: keep, before, c, on: set)
    expected = Self.reference(kind, x, a, y, b, keep: keep, before, c)
  }

  private static func wholeNumbers(_ count: Int, _ random: inout SplitMix64) -> [Float] {
    var numbers: [Float] = []
    for _ in 0..<count { numbers.append(Float(Int.random(in: -9...9, using: &random))) }
    return numbers
  }

  private static func inDoubles(
    _ kind: MatrixProduct, _ x: [Float], _ a: MatrixLayout, _ y: [Float], _ b: MatrixLayout, keep: Float,
    _ before: [Float], _ c: MatrixLayout, on set: InstructionSet
  ) -> [Double] {
    let (x, y) = (x.map { Double($0) }, y.map { Double($0) })
    var result = before.map { Double($0) }
    var span = result.mutableSpan
    multiply(kind, x.span, a, y.span, b, scale: 3, keep: Double(keep), into: &span, c, on: set)
    return result
  }

  /// In f32, which holds every sum: all are below 2^24 in size.
  private static func reference(
    _ kind: MatrixProduct, _ x: [Float], _ a: MatrixLayout, _ y: [Float], _ b: MatrixLayout, keep: Float,
    _ before: [Float], _ c: MatrixLayout
  ) -> [Double] {
    var result = before
    var span = result.mutableSpan
    multiplyReference(kind, x.span, a, y.span, b, scale: 3, keep: keep, into: &span, c)
    return result.map { Double($0) }
  }
}
