import Checkpoints
import Kernels
import Models
import Passes
import TestSupport
import Testing

/// Low-rank approximations beside direct solutions, made by `Scripts/make-lowrank-golden.py`.
@Suite struct LowRankTests {
  private static let cases = ["wide", "tall"]
  private static let (rank, groupSize) = (4, 8)
  /// The golden numbers are singles, and so are products of inputs; conditions are below 1e3.
  private static let tolerance = 2e-5
  private let golden: Checkpoint

  init() throws {
    golden = try Checkpoint.open(path: Fixtures.path("golden/lowrank.safetensors"))
  }

  private func floats(_ name: String) throws -> [Float] { try Fixtures.floats(name, in: golden) }

  private func floatMatrix(_ name: String) throws -> Matrix {
    let shape = try #require(golden.tensor(named: name)).shape
    return Matrix(rows: shape[0], columns: shape[1], values: try floats(name))
  }

  private func matrix(_ name: String) throws -> DoubleMatrix { DoubleMatrix(try floatMatrix(name)) }

  private func moments(_ name: String) throws -> DoubleMatrix {
    DoubleMatrix(SecondMoments(of: try floatMatrix(name + ".inputs")))
  }

  private func expect(
    _ values: [Double], _ name: String, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let error = relativeError(values.map { Float($0) }, try floats(name))
    #expect(error < Self.tolerance, "\(name)", sourceLocation: sourceLocation)
  }

  @Test(arguments: cases)
  func `without moments it is the truncated singular value decomposition`(name: String) throws {
    let factors = try LowRankFactors(approximating: try matrix(name + ".error"), rank: Self.rank)
    #expect(factors.rank == Self.rank)
    try expect(factors.product.values, name + ".svd")
  }

  @Test(arguments: cases)
  func `with moments it is QERA's product, without an inverse`(name: String) throws {
    let factors = try LowRankFactors(
      approximating: try matrix(name + ".error"), moments: try moments(name), rank: Self.rank)
    try expect(factors.product.values, name + ".qera")
  }

  @Test(arguments: cases)
  func `the change of biases of full rank is that of least squares`(name: String) throws {
    let factors = try LowRankFactors(
      approximatingBiases: try matrix(name + ".error"), moments: try moments(name),
      groupSize: Self.groupSize, rank: 100)
    #expect(factors.rank == factors.a.columnCount)
    try expect(factors.product.values, name + ".biases")
  }

  @Test(arguments: cases)
  func `the change of biases of a low rank is the best one`(name: String) throws {
    let error = try matrix(name + ".error")
    let weighted = try LowRankFactors(
      approximatingBiases: error, moments: try moments(name), groupSize: Self.groupSize, rank: 2)
    try expect(weighted.product.values, name + ".biases.low_rank")
    let plain = try LowRankFactors(
      approximatingBiases: error, moments: nil, groupSize: Self.groupSize, rank: 2)
    try expect(plain.product.values, name + ".biases.plain_low_rank")
  }

  @Test(arguments: cases)
  func `energies are squared singular values, and with moments output errors`(name: String) throws {
    let error = try matrix(name + ".error")
    try expect(try ErrorSpectrum(of: error).energies.map { $0.squareRoot() }, name + ".singular_values")
    let energies = try ErrorSpectrum(of: error, moments: try moments(name)).energies
    var left = [energies.reduce(0, +)]
    for energy in energies { left.append(left[left.count - 1] - energy) }
    try expect(left, name + ".output_error.qera")
  }

  @Test(arguments: cases)
  func `rows of A and columns of B have the same length`(name: String) throws {
    let factors = try LowRankFactors(approximating: try matrix(name + ".error"), rank: Self.rank)
    let lengths = zip(
      factors.a.rowProducts(with: factors.a), factors.transposedB.rowProducts(with: factors.transposedB))
    for (a, b) in lengths { #expect(abs(a / b - 1) < 1e-9) }
  }

  @Test(arguments: [(6, 10), (10, 6)])
  func `an error of a lower rank leaves zeros`(rows: Int, columns: Int) throws {
    var error = DoubleMatrix(rows: rows, columns: columns)
    for i in error.values.indices { error.values[i] = Double((i / columns + 1) * (i % columns - 3)) }
    let factors = try LowRankFactors(approximating: error, rank: 3)
    let product = factors.product
    #expect(product.subtracting(error).squaredNorm < 1e-20 * error.squaredNorm)
    #expect(factors.a.values.allSatisfy(\.isFinite) && factors.transposedB.values.allSatisfy(\.isFinite))
    let none = try LowRankFactors(approximating: DoubleMatrix(rows: rows, columns: columns), rank: 2)
    #expect(none.product.values.allSatisfy { $0 == 0 })
  }

  @Test(arguments: [1, 5])
  func `rounding and approximating in turn gives LoftQ's products`(iterations: Int) throws {
    let weight = try floatMatrix("loftq.weight")
    let grid = QuantizationGrid(bits: 2, groupSize: 32, tables: .f32)
    let packed = try RoundToNearest(grid: grid).quantizeRows(weight.values, columns: weight.columnCount)
    var linear = Linear(
      name: "m",
      weight: Weight(
        rows: weight.rowCount, columns: weight.columnCount,
        values: .packed(
          PackedWeight(
            codes: TensorBytes(packed.codes), bits: 2, groupSize: 32, scales: packed.scales,
            biases: packed.biases))))
    let factors = try LowRankFactors.alternating(
      for: DoubleMatrix(weight), with: &linear, iterations: iterations, rank: Self.rank,
      tables: TableFormats(scales: .f32, biases: .f32))
    try expect(try linear.foldedDoubles().values, "loftq.quantized.\(iterations)")
    try expect(factors.product.values, "loftq.product.\(iterations)")
  }

  @Test(arguments: [("atc", rank, 1), ("atc_pooled", 3, groupSize)])
  func `both stages of align-then-correct give the published products`(
    name: String, rank: Int, groupSize: Int
  ) throws {
    let (inputs, originals, gradients) = try (
      floatMatrix(name + ".inputs"), floatMatrix(name + ".original_inputs"), floatMatrix(name + ".gradients")
    )
    let (x, g) = (SecondMoments(of: inputs), SecondMoments(of: gradients))
    var cross = CrossMoments(rows: inputs.columnCount, columns: inputs.columnCount)
    var slope = CrossMoments(rows: gradients.columnCount, columns: inputs.columnCount)
    cross.add(originals, 0..<inputs.columnCount, inputs)
    slope.add(gradients, 0..<gradients.columnCount, inputs)
    let aligned = try LowRankFactors.aligning(
      original: try matrix(name + ".weight"), quantized: try matrix(name + ".quantized"),
      crossMoments: cross.means, moments: DoubleMatrix(x), gradientMoments: DoubleMatrix(g), rank: rank,
      step: 0.3, groupSize: groupSize)
    try expect(aligned.product.values, name + ".aligned")
    let corrected = try LowRankFactors.correcting(
      change: try matrix(name + ".aligned"), gradient: slope.means, moments: DoubleMatrix(x),
      gradientMoments: DoubleMatrix(g), rank: rank, bound: 0.2, groupSize: groupSize)
    try expect(corrected.product.values, name + ".corrected")
  }

  @Test(arguments: [0..<5, 3..<8])
  func `moments of two vectors are means of products, of some features`(features: Range<Int>) {
    let (x, y) = (
      Matrix(rows: 6, columns: 8, values: noise("x", count: 48, size: 1)),
      Matrix(rows: 6, columns: 3, values: noise("y", count: 18, size: 1))
    )
    var moments = CrossMoments(rows: features.count, columns: 3)
    for _ in 0..<2 { moments.add(x, features, y) }
    for (i, feature) in features.enumerated() {
      for j in 0..<3 {
        let sum = (0..<6).reduce(0.0) { sum, token in
          sum + Double(x.values[token * 8 + feature]) * Double(y.values[token * 3 + j])
        }
        #expect(abs(moments.means.values[i * 3 + j] - sum / 6) < 1e-6)
      }
    }
  }

  @Test func `moments that are singular are damped`() throws {
    let error = DoubleMatrix(Matrix(rows: 12, columns: 8, values: noise("singular", count: 96, size: 1)))
    var moments = DoubleMatrix(rows: 8, columns: 8)
    moments.values[0] = 2
    let factors = try LowRankFactors(approximating: error, moments: moments, rank: 2)
    let left = error.subtracting(factors.product)
    #expect(left.energy(moments: moments) < 1e-12 * error.energy(moments: moments))
    let biases = try LowRankFactors(
      approximatingBiases: error, moments: DoubleMatrix(rows: 8, columns: 8), groupSize: 4, rank: 2)
    #expect(biases.product.values.allSatisfy { $0 == 0 })
  }
}
