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
  /// Sizes around a tile of 16, a block of 32, and a packed part of 320 numbers.
  private static let tileShapes: [[Int]] = [
    [15, 17, 31], [16, 16, 32], [17, 15, 33], [31, 33, 319], [32, 32, 320], [33, 31, 321], [48, 1, 352],
  ]

  @Test(arguments: ProductBackend.supported, shapes + tileShapes + [[40, 16, 64], [40, 17, 33]])
  func `equals the plain loops, whichever operand is transposed`(backend: ProductBackend, shape: [Int]) {
    var random = SplitMix64(seed: 11)
    for transposition in Transposition.allCases {
      let product = ProductLayouts(transposition, shape)
      let (a, b, c) = (product.a, product.b, product.c)
      // Beyond the operands nothing but NaN, which must not come into any sum.
      let (x, y) = (spread(a, in: a.room, &random), spread(b, in: b.room, &random))
      for isAdding in [false, true] {
        let start = (0..<c.room).map { _ in Float.random(in: -1...1, using: &random) }
        var (expected, result) = (start, start)
        let (left, right) = (MatrixView(x.span, a), MatrixView(y.span, b))
        var expectedView = MutableMatrixView(expected.mutableSpan, c)
        multiplyReference(
          left, right, scale: 0.75, into: &expectedView, adding: isAdding, operands: backend.operands)
        var view = MutableMatrixView(result.mutableSpan, c)
        multiply(left, right, scale: 0.75, into: &view, adding: isAdding, on: backend)
        let isClose = zip(result, expected).allSatisfy { abs($0 - $1) <= tolerance(shape[2]) }
        #expect(isClose, "\(transposition), adding \(isAdding)")
        for (i, value) in result.enumerated() where !c.contains(i) {
          #expect(value == start[i], "element \(i) lies outside the result")
        }
      }
    }
  }

  @Test(arguments: ProductOperands.allCases, [[13, 33, 300], [40, 17, 33]])
  func `takes the fastest kernel of its operands to the same bits`(operands: ProductOperands, shape: [Int]) {
    var random = SplitMix64(seed: 12)
    let product = ProductLayouts(.none, shape)
    let x = spread(product.a, in: product.a.room, &random)
    let y = spread(product.b, in: product.b.room, &random)
    var results = [[Float]](repeating: [Float](repeating: 0, count: product.c.room), count: 2)
    for (i, backend) in [nil, ProductBackend.best(for: operands)].enumerated() {
      var view = MutableMatrixView(results[i].mutableSpan, product.c)
      multiply(
        MatrixView(x.span, product.a), MatrixView(y.span, product.b), into: &view, operands: operands,
        on: backend)
    }
    #expect(results[0] == results[1])
  }

  /// An odd address, as a tensor in a file may have, and an even one.
  @Test(
    .enabled(if: ProductBackend.supported.contains { $0.operands == .bf16 }),
    arguments: shapes + tileShapes + [[40, 16, 64], [40, 17, 33]], [1, 4])
  func `takes a right operand that is stored as bf16 to the same bits`(shape: [Int], padding: Int) {
    var random = SplitMix64(seed: 14)
    let stored = { (values: [Float]) in
      [UInt8](repeating: 0, count: padding) + narrowed(values, to: .bf16)
    }
    for backend in ProductBackend.supported where backend.operands == .bf16 {
      for transposition in Transposition.allCases {
        let product = ProductLayouts(transposition, shape)
        let (a, b) = (product.a, product.b)
        let c = MatrixLayout(rows: shape[0], columns: shape[1])
        let x = spread(a, in: a.room, &random)
        let right = stored(spread(b, in: b.room, &random))
        let halves = right.span.extracting(padding..<right.count)
        let y = widened(unsafe halves.bytes, from: .bf16)
        for isAdding in [false, true] {
          let start = (0..<shape[0] * shape[1]).map { _ in Float.random(in: -1...1, using: &random) }
          var (expected, result) = (start, start)
          var expectedView = MutableMatrixView(expected.mutableSpan, c)
          multiply(
            MatrixView(x.span, a), MatrixView(y.span, b), into: &expectedView, adding: isAdding, on: backend)
          var view = MutableMatrixView(result.mutableSpan, c)
          multiply(
            MatrixView(x.span, a), BF16View(unsafe halves.bytes, b), into: &view, adding: isAdding,
            on: backend)
          #expect(result == expected, "\(backend), \(transposition), adding \(isAdding)")
        }
      }
    }
  }

  @Test(arguments: ProductBackend.supported, shapes + tileShapes + [[40, 16, 64], [97, 40, 130]])
  func `parts of a packed left operand give the same bits`(backend: ProductBackend, shape: [Int]) {
    var random = SplitMix64(seed: 17)
    for transposition in Transposition.allCases {
      let product = ProductLayouts(transposition, shape)
      let (a, b) = (product.a, product.b)
      let (x, y) = (spread(a, in: a.room, &random), spread(b, in: b.room, &random))
      let halves = narrowed(y, to: .bf16)
      let left = LeftOperand(MatrixView(x.span, a), for: backend.operands, on: backend)
      for rows in ranges(of: shape[0], unit: left.unit.rows) {
        for columns in ranges(of: shape[2], unit: left.unit.columns) {
          let part = LeftPart(left, rows: rows, columns: columns)
          let c = MatrixLayout(rows: rows.count, columns: shape[1])
          let start = (0..<rows.count * shape[1]).map { _ in Float.random(in: -1...1, using: &random) }
          for isAdding in [false, true] {
            var (expected, result, stored) = (start, start, start)
            var view = MutableMatrixView(expected.mutableSpan, c)
            multiply(
              MatrixView(x.span, a[rows, columns]), MatrixView(y.span, b[columns, 0..<shape[1]]), into: &view,
              adding: isAdding, on: backend)
            view = MutableMatrixView(result.mutableSpan, c)
            multiply(part, MatrixView(y.span, b[columns, 0..<shape[1]]), into: &view, adding: isAdding)
            #expect(result == expected, "\(transposition), \(rows), \(columns), adding \(isAdding)")
            guard backend.operands == .bf16 else { continue }
            view = MutableMatrixView(stored.mutableSpan, c)
            multiply(
              part, unsafe BF16View(halves.span.bytes, b[columns, 0..<shape[1]]), into: &view,
              adding: isAdding)
            #expect(stored == expected, "\(transposition), \(rows), \(columns), stored as bf16")
          }
        }
      }
    }
  }

  /// The whole range, and what is left and right of an edge that is a multiple of a unit.
  private func ranges(of length: Int, unit: Int) -> [Range<Int>] {
    let edge = (length / 2 + unit - 1) / unit * unit
    return edge > 0 && edge < length ? [0..<length, 0..<edge, edge..<length] : [0..<length]
  }

  /// Random elements where the matrix has them, and NaN elsewhere.
  private func spread(_ layout: MatrixLayout, in count: Int, _ random: inout SplitMix64) -> [Float] {
    var values = [Float](repeating: .nan, count: count)
    for row in 0..<layout.rowCount {
      for column in 0..<layout.columnCount {
        values[layout.index(row, column)] = .random(in: -1...1, using: &random)
      }
    }
    return values
  }

  @Test(arguments: ProductBackend.supported)
  func `a kernel rounds operands to what it says`(backend: ProductBackend) {
    let layout = MatrixLayout(rows: 1, columns: 1)
    // 1 + 2^-8 is halfway between two bf16 and goes to the even one, 1; 1 + 3 · 2^-8 goes to 1 + 2^-6.
    let roundings: [(value: Float, rounded: Float)] = [
      (0x1.01p0, 1), (0x1.03p0, 0x1.04p0), (-0x1.0101p0, -0x1.02p0),
    ]
    for (value, rounded) in roundings {
      let (left, right): ([Float], [Float]) = ([value], [1])
      var result: [Float] = [0]
      var view = MutableMatrixView(result.mutableSpan, layout)
      multiply(MatrixView(left.span, layout), MatrixView(right.span, layout), into: &view, on: backend)
      #expect(result == [backend.operands == .bf16 ? rounded : value])
    }
  }

  /// The definition of `TDPBF16PS`: a chain of sums for the lower halves of pairs and one for the upper
  /// halves, and numbers below the normal ones count as zero.
  @Test func `tiles add pairs in two chains and flush small numbers`() throws {
    let tiles = try #require(ProductBackend.all.first { $0.name == "bf16 tiles in plain C" })
    let products: [(left: [Float], right: [Float], sum: Float)] = [
      ([0x1p24, 1, 1, 1], [1, 1, 1, 1], 0x1p24 + 2), ([0x1p-130, 0], [0x1p20, 0], 0),
      ([0x1p-100, 1], [0x1p-40, 3], 3), ([0x1p-100, 0], [0x1p-40, 0], 0),
    ]
    for (left, right, sum) in products {
      var result: [Float] = [.nan]
      var view = MutableMatrixView(result.mutableSpan, rows: 1, columns: 1)
      multiply(
        MatrixView(left.span, rows: 1, columns: left.count),
        MatrixView(right.span, rows: right.count, columns: 1), into: &view, on: tiles)
      #expect(result == [sum])
    }
  }

  @Test(
    .enabled(
      if: ProductBackend.supported.contains { $0.name == "bf16 AMX" }, "this processor has no AMX tiles"),
    arguments: shapes + tileShapes)
  func `AMX gives the bits of the plain C that defines it`(shape: [Int]) {
    var random = SplitMix64(seed: 15)
    for transposition in Transposition.allCases {
      let product = ProductLayouts(transposition, shape)
      let (a, b, c) = (product.a, product.b, product.c)
      let (x, y) = (spread(a, in: a.room, &random), spread(b, in: b.room, &random))
      let start = (0..<c.room).map { _ in Float.random(in: -1...1, using: &random) }
      let results = ["bf16 AMX", "bf16 tiles in plain C"].map { name in
        var result = start
        var view = MutableMatrixView(result.mutableSpan, c)
        multiply(
          MatrixView(x.span, a), MatrixView(y.span, b), scale: 0.75, into: &view, adding: true,
          on: ProductBackend.all.first { $0.name == name })
        return result
      }
      #expect(results[0] == results[1], "\(transposition)")
    }
  }

  @Test(arguments: InstructionSet.supported, shapes)
  func `with doubles whole numbers come out exactly`(set: InstructionSet, shape: [Int]) {
    for transposition in Transposition.allCases {
      for isAdding in [false, true] {
        let product = ProductInDoubles(transposition, shape, adding: isAdding, on: set)
        #expect(product.result == product.expected, "\(transposition), adding \(isAdding)")
      }
    }
  }

  @Test func `without adding, what was there does not matter, not even NaN`() {
    for inner in [0, 1] {
      var result: [Float] = [.nan]
      var view = MutableMatrixView(result.mutableSpan, rows: 1, columns: 1)
      multiply(
        MatrixView([2].span, rows: 1, columns: inner), MatrixView([3].span, rows: inner, columns: 1),
        into: &view)
      #expect(result == [inner == 0 ? 0 : 6])
    }
  }
}

@Suite struct ProductBackendTests {
  private static let everything: Processor.Features = [.avx2, .avx512, .avx512BF16]

  /// Family and model as CPUID gives them: Zen 4 and Zen 5; Cooper Lake, Sapphire Rapids and Granite Rapids.
  @Test(arguments: [
    (Processor.Vendor.amd, 25, 0x61, ProductOperands.bf16), (.amd, 26, 0x02, .bf16), (.intel, 6, 0x55, .f32),
    (.intel, 6, 0x8F, .f32), (.intel, 6, 0xAD, .f32), (.other, 6, 0x5B, .f32),
  ])
  func `takes bf16 only where it is faster than f32`(
    vendor: Processor.Vendor, family: Int, model: Int, operands: ProductOperands
  ) {
    let processor = Processor(vendor: vendor, family: family, model: model, features: Self.everything)
    #expect(ProductBackend.best(for: .bf16, on: processor).operands == operands)
    #expect(ProductBackend.best(for: .f32, on: processor).operands == .f32)
  }

  @Test func `takes AMX for bf16 where a processor has it, and f32 where operands may not be rounded`() {
    for vendor in [Processor.Vendor.intel, .amd, .other] {
      let processor = Processor(
        vendor: vendor, family: 6, model: 0x8F, features: Self.everything.union(.amxBF16))
      #expect(ProductBackend.best(for: .bf16, on: processor).name == "bf16 AMX")
      #expect(ProductBackend.best(for: .f32, on: processor).operands == .f32)
    }
  }

  private static let sets: [(Processor.Features, String)] = [
    ([], "baseline"), (.avx2, "AVX2"), ([.avx2, .avx512], "AVX-512"), (.avx512BF16, "baseline"),
  ]

  @Test(arguments: sets)
  func `takes the widest instructions that the processor has`(features: Processor.Features, name: String) {
    let processor = Processor(vendor: .amd, family: 25, model: 0x61, features: features)
    for operands in ProductOperands.allCases {
      #expect(ProductBackend.best(for: operands, on: processor).name.hasSuffix(name))
    }
  }

  @Test func `a kernel that the processor lacks an instruction for is not supported`() {
    let processor = Processor(vendor: .amd, family: 25, model: 0x61, features: [.avx2])
    let supported = ProductBackend.all.filter { $0.preference(on: processor) > 0 }
    #expect(supported.map(\.name) == ["f32 baseline", "bf16 tiles in plain C", "f32 AVX2"])
  }

  @Test func `what is chosen here is supported here`() {
    for operands in ProductOperands.allCases {
      #expect(ProductBackend.supported.contains(.best(for: operands)))
    }
    #expect(ProductOperands.bf16.onThisProcessor == ProductBackend.best(for: .bf16).operands)
  }
}

/// Which operand of a product lies in memory transposed.
private enum Transposition: CaseIterable {
  case none, left, right
}

/// Operands and a result of `[m, n, k]` with offsets and with strides larger than the rows: what lies between
/// must neither be read into sums nor written.
private struct ProductLayouts {
  let a: MatrixLayout
  let b: MatrixLayout
  let c: MatrixLayout

  init(_ transposition: Transposition, _ shape: [Int]) {
    let (m, n, k) = (shape[0], shape[1], shape[2])
    a =
      transposition == .left
      ? MatrixLayout(rows: k, columns: m, offset: 3, stride: m + 2).transposed
      : MatrixLayout(rows: m, columns: k, offset: 3, stride: k + 2)
    b =
      transposition == .right
      ? MatrixLayout(rows: n, columns: k, offset: 1, stride: k + 5).transposed
      : MatrixLayout(rows: k, columns: n, offset: 1, stride: n + 5)
    c = MatrixLayout(rows: m, columns: n, offset: 2, stride: n + 3)
  }
}

extension MatrixLayout {
  /// The elements of a span with the matrix and something after it.
  fileprivate var room: Int { offset + max(rowCount, columnCount) * max(rowStride, columnStride) + 5 }

  fileprivate func index(_ row: Int, _ column: Int) -> Int {
    offset + row * rowStride + column * columnStride
  }

  /// Whether a row-major matrix has an element of the span; a last partial row is none of it.
  fileprivate func contains(_ index: Int) -> Bool {
    index >= offset && (index - offset) / rowStride < rowCount && (index - offset) % rowStride < columnCount
  }
}

/// A product of small whole numbers with doubles, and what it must be.
private struct ProductInDoubles {
  let result: [Double]
  let expected: [Double]

  init(_ transposition: Transposition, _ shape: [Int], adding: Bool, on set: InstructionSet) {
    let product = ProductLayouts(transposition, shape)
    let (a, b, c) = (product.a, product.b, product.c)
    var random = SplitMix64(seed: 12)
    let x = Self.wholeNumbers(a.room, &random)
    let y = Self.wholeNumbers(b.room, &random)
    let before = Self.wholeNumbers(c.room, &random)
    let (left, right) = (x.map { Double($0) }, y.map { Double($0) })
    var result = before.map { Double($0) }
    var view = MutableMatrixView(result.mutableSpan, c)
    multiply(
      MatrixView(left.span, a), MatrixView(right.span, b), scale: 3, into: &view, adding: adding, on: set)
    self.result = result
    // In f32, which holds every sum: all are below 2^24 in size.
    var expected = before
    var expectedView = MutableMatrixView(expected.mutableSpan, c)
    multiplyReference(
      MatrixView(x.span, a), MatrixView(y.span, b), scale: 3, into: &expectedView, adding: adding)
    self.expected = expected.map { Double($0) }
  }

  private static func wholeNumbers(_ count: Int, _ random: inout SplitMix64) -> [Float] {
    var numbers: [Float] = []
    for _ in 0..<count { numbers.append(Float(Int.random(in: -9...9, using: &random))) }
    return numbers
  }
}
