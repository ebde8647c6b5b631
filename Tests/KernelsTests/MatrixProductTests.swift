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

  private static let kinds: [MatrixProduct] = [.plain, .transposedRight, .transposedLeft]

  @Test(arguments: InstructionSet.supported, shapes)
  func `equals the plain loops for every kind`(set: InstructionSet, shape: [Int]) {
    expectReference(shape, on: set)
  }

  /// Where the processor has no products of bf16, the operands stay as they are.
  @Test(arguments: ProductOperands.allCases, shapes + [[40, 16, 64], [40, 17, 33]])
  func `rounds operands as the plain loops do`(operands: ProductOperands, shape: [Int]) {
    expectReference(shape, operands: operands)
  }

  private func expectReference(
    _ shape: [Int], operands: ProductOperands = .f32, on set: InstructionSet = .best
  ) {
    var random = SplitMix64(seed: 11)
    for kind in Self.kinds {
      let product = ProductLayouts(kind, shape)
      let (a, b, c) = (product.a, product.b, product.c)
      // Beyond the operands nothing but NaN, which must not come into any sum.
      let (x, y) = (spread(a, in: a.room, &random), spread(b, in: b.room, &random))
      for keep: Float in [0, 1, 0.5] {
        let start = (0..<c.room).map { _ in Float.random(in: -1...1, using: &random) }
        var (expected, result) = (start, start)
        var expectedSpan = expected.mutableSpan
        multiplyReference(
          kind, x.span, a, y.span, b, scale: 0.75, keep: keep, into: &expectedSpan, c,
          operands: operands.onThisProcessor)
        var span = result.mutableSpan
        multiply(
          kind, x.span, a, y.span, b, scale: 0.75, keep: keep, into: &span, c, operands: operands, on: set)
        let isClose = zip(result, expected).allSatisfy { abs($0 - $1) <= tolerance(shape[2]) }
        #expect(isClose, "\(kind), keep \(keep)")
        for (i, value) in result.enumerated() where !c.contains(i) {
          #expect(value == start[i], "element \(i) lies outside the result")
        }
      }
    }
  }

  /// An odd address, as a tensor in a file may have, and an even one.
  @Test(arguments: shapes + [[40, 16, 64], [40, 17, 33]], [1, 4])
  func `takes operands that are stored as bf16 to the same bits`(shape: [Int], padding: Int) {
    guard ProductOperands.bf16.onThisProcessor == .bf16 else { return }
    var random = SplitMix64(seed: 14)
    let stored = { (values: [Float]) in
      [UInt8](repeating: 0, count: padding) + narrowed(values, to: .bf16)
    }
    for kind in Self.kinds {
      let product = ProductLayouts(kind, shape)
      let (a, b) = (product.a, product.b)
      let c = MatrixLayout(rows: shape[0], columns: shape[1])
      let (left, right) = (stored(spread(a, in: a.room, &random)), stored(spread(b, in: b.room, &random)))
      let leftHalves = left.span.extracting(padding..<left.count)
      let rightHalves = right.span.extracting(padding..<right.count)
      let x = widened(unsafe leftHalves.bytes, from: .bf16)
      let y = widened(unsafe rightHalves.bytes, from: .bf16)
      for keep: Float in [0, 0.5] {
        let start = (0..<shape[0] * shape[1]).map { _ in Float.random(in: -1...1, using: &random) }
        var (expected, result) = (start, start)
        var expectedSpan = expected.mutableSpan
        multiply(kind, x.span, a, y.span, b, keep: keep, into: &expectedSpan, c, operands: .bf16)
        var span = result.mutableSpan
        multiply(
          kind, halves: unsafe leftHalves.bytes, a, unsafe rightHalves.bytes, b, keep: keep, into: &span, c)
        #expect(result == expected, "\(kind), keep \(keep)")
      }
    }
  }

  /// Random elements where the matrix has them, and NaN elsewhere.
  private func spread(_ layout: MatrixLayout, in count: Int, _ random: inout SplitMix64) -> [Float] {
    var values = [Float](repeating: .nan, count: count)
    for row in 0..<layout.rowCount {
      for column in 0..<layout.columnCount {
        values[layout.offset + row * layout.stride + column] = .random(in: -1...1, using: &random)
      }
    }
    return values
  }

  @Test func `rounded operands give another product than operands as they are`() throws {
    try #require(ProductOperands.f32.onThisProcessor == .f32)
    guard ProductOperands.bf16.onThisProcessor == .bf16 else { return }
    let layout = MatrixLayout(rows: 1, columns: 1)
    // 1 + 2^-8 is halfway between two bf16 and goes to the even one, 1; 1 + 3 · 2^-8 goes to 1 + 2^-6.
    let roundings: [(value: Float, rounded: Float)] = [
      (0x1.01p0, 1), (0x1.03p0, 0x1.04p0), (-0x1.0101p0, -0x1.02p0),
    ]
    for (value, rounded) in roundings {
      let (left, right): ([Float], [Float]) = ([value], [1])
      var result: [Float] = [0]
      var span = result.mutableSpan
      multiply(.plain, left.span, layout, right.span, layout, into: &span, layout, operands: .bf16)
      #expect(result == [rounded])
    }
  }

  @Test(arguments: InstructionSet.supported, shapes)
  func `with doubles whole numbers come out exactly`(set: InstructionSet, shape: [Int]) {
    for kind in Self.kinds {
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

/// Operands and a result of `[m, n, k]` with offsets and with strides larger than the rows: what lies between must neither be read
/// into sums nor written.
private struct ProductLayouts {
  let a: MatrixLayout
  let b: MatrixLayout
  let c: MatrixLayout

  init(_ kind: MatrixProduct, _ shape: [Int]) {
    let (m, n, k) = (shape[0], shape[1], shape[2])
    let left = kind == .transposedLeft ? (k, m) : (m, k)
    let right = kind == .transposedRight ? (n, k) : (k, n)
    a = MatrixLayout(rows: left.0, columns: left.1, offset: 3, stride: left.1 + 2)
    b = MatrixLayout(rows: right.0, columns: right.1, offset: 1, stride: right.1 + 5)
    c = MatrixLayout(rows: m, columns: n, offset: 2, stride: n + 3)
  }
}

extension MatrixLayout {
  /// The elements of a span with the matrix and something behind it.
  fileprivate var room: Int { rowCount * stride + 5 }

  /// Whether the matrix has an element of the span; a last partial row is none of it.
  fileprivate func contains(_ index: Int) -> Bool {
    index >= offset && (index - offset) / stride < rowCount && (index - offset) % stride < columnCount
  }
}

/// A product of small whole numbers with doubles, and what it must be.
private struct ProductInDoubles {
  let result: [Double]
  let expected: [Double]

  init(_ kind: MatrixProduct, _ shape: [Int], keep: Float, on set: InstructionSet) {
    let product = ProductLayouts(kind, shape)
    let (a, b, c) = (product.a, product.b, product.c)
    var random = SplitMix64(seed: 12)
    let x = Self.wholeNumbers(a.room, &random)
    let y = Self.wholeNumbers(b.room, &random)
    let before = Self.wholeNumbers(c.room, &random)
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
