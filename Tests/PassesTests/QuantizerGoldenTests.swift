import Checkpoints
import Kernels
import Models
import Passes
import TestSupport
import Testing

/// The quantizers beside direct solutions in double precision, made by `Scripts/make-quantizer-golden.py`.
@Suite struct QuantizerGoldenTests {
  private static let columns = 96
  private let golden: Checkpoint
  private let grid = QuantizationGrid(bits: 2, groupSize: 32, tables: .f32)

  init() throws {
    golden = try Checkpoint.open(path: Fixtures.path("golden/quantizers.safetensors"))
  }

  private func floats(_ name: String) throws -> [Float] { try Fixtures.floats(name, in: golden) }

  private func codes(of packed: PackedTensor) -> [UInt8] {
    var codes = [UInt8](repeating: 0, count: packed.codes.count * 4)
    var span = codes.mutableSpan
    let bytes = packed.codes.span
    unpackCodes(unsafe bytes.bytes, bits: 2, into: &span)
    return codes
  }

  /// The moments of the inputs, a window at a time.
  private func moments(tokensAWindow: Int) throws -> SecondMoments {
    let inputs = try floats("inputs")
    var moments = SecondMoments(order: Self.columns)
    for start in stride(from: 0, to: inputs.count, by: tokensAWindow * Self.columns) {
      let values = Array(inputs[start..<min(start + tokensAWindow * Self.columns, inputs.count)])
      moments.add(Matrix(rows: values.count / Self.columns, columns: Self.columns, values: values))
    }
    return moments
  }

  @Test(arguments: [160, 32, 7])
  func `moments are the means of products, however the tokens are cut`(tokensAWindow: Int) throws {
    let inputs = try floats("inputs")
    let moments = try moments(tokensAWindow: tokensAWindow)
    let tokens = inputs.count / Self.columns
    #expect(moments.count == tokens)
    let means = moments.means
    for i in [0, 40, 41, 95] {
      for j in [0, 13, 41, 95] {
        let expected = (0..<tokens).reduce(0.0) { sum, token in
          sum + Double(inputs[token * Self.columns + i]) * Double(inputs[token * Self.columns + j])
        }
        let size = (means[i * Self.columns + i] * means[j * Self.columns + j]).squareRoot()
        #expect(abs(means[i * Self.columns + j] - expected / Double(tokens)) <= 1e-6 * size)
        #expect(means[i * Self.columns + j] == means[j * Self.columns + i])
      }
    }
  }

  @Test func `moments of rounded inputs are those of the rounded values`() throws {
    let inputs = try floats("inputs")
    let x = Matrix(rows: inputs.count / Self.columns, columns: Self.columns, values: inputs)
    let bytes = narrowed(inputs, to: .bf16)
    let rounded = Matrix(
      rows: x.rowCount, columns: x.columnCount, values: unsafe widened(bytes.span.bytes, from: .bf16))
    var (own, ofRounded) = (SecondMoments(order: Self.columns), SecondMoments(order: Self.columns))
    var cross = CrossMoments(rows: Self.columns, columns: Self.columns)
    own.add(x, operands: .bf16)
    ofRounded.add(ProductOperands.bf16.onThisProcessor == .bf16 ? rounded : x)
    cross.add(x, 0..<Self.columns, x, operands: .bf16)
    // Sums in f32 in another order.
    let size = ofRounded.means.max() ?? 0
    for (a, b) in zip(own.means, ofRounded.means) { #expect(abs(a - b) <= 1e-6 * size) }
    for (a, b) in zip(cross.means.values, own.means) { #expect(abs(a - b) <= 1e-6 * size) }
    #expect((own.means == SecondMoments(of: x).means) == (ProductOperands.bf16.onThisProcessor == .f32))
  }

  @Test func `the clip search finds the scales and biases of the plain double loop`() throws {
    let search = ClipSearch(grid: grid, importance: try moments(tokensAWindow: 160).importance)
    let packed = try search.quantizeRows(try floats("weights"), columns: Self.columns)
    #expect(largestDifference(packed.scales, try floats("search.scales")) < 1e-7)
    #expect(largestDifference(packed.biases, try floats("search.biases")) < 1e-7)
  }

  @Test(arguments: [false, true])
  func `GPTQ's codes equal those of the direct solution`(activationOrder: Bool) throws {
    let gptq = GPTQ(
      grid: grid,
      try GPTQFeedback(
        moments: MomentMatrix(try moments(tokensAWindow: 32)), damping: 0.01,
        activationOrder: activationOrder))
    #expect(gptq.damping == 0.01)
    let packed = try gptq.quantizeRows(try floats("weights"), columns: Self.columns)
    let name = activationOrder ? "gptq_activation_order" : "gptq"
    let expected = try golden.copiedBytes(of: name + ".codes")
    #expect(codes(of: packed) == expected)
    #expect(largestDifference(packed.scales, try floats(name + ".scales")) < 1e-5)
    #expect(largestDifference(packed.biases, try floats(name + ".biases")) < 1e-5)
  }

  @Test func `rows do not depend on those beside them`() throws {
    let gptq = GPTQ(
      grid: grid,
      try GPTQFeedback(
        moments: MomentMatrix(try moments(tokensAWindow: 32)), damping: 0.01, activationOrder: false))
    let weights = try floats("weights")
    let whole = try gptq.quantizeRows(weights, columns: Self.columns)
    let alone = try gptq.quantizeRows(
      Array(weights[5 * Self.columns..<6 * Self.columns]), columns: Self.columns)
    #expect(alone.codes == Array(whole.codes[5 * Self.columns / 4..<6 * Self.columns / 4]))
  }

  @Test func `damping grows until the moments can be factored`() throws {
    // Two features that are always opposite, and one token: the moments have rank 1.
    var moments = SecondMoments(order: 32)
    moments.add(Matrix(rows: 1, columns: 32, values: (0..<32).map { $0 % 2 == 0 ? 1 : -1 }))
    let gptq = GPTQ(
      grid: grid,
      try GPTQFeedback(moments: MomentMatrix(moments), damping: 1e-300, activationOrder: false))
    #expect(gptq.damping > 1e-300 && gptq.damping < 1)
    let packed = try gptq.quantizeRows(noise("damped", count: 64, size: 0.1), columns: 32)
    #expect(packed.scales.allSatisfy { $0.isFinite && $0 > 0 })
  }

  @Test func `tables are rounded before codes are chosen`() throws {
    let rounded = QuantizationGrid(bits: 2, groupSize: 32, tables: .bf16)
    let gptq = GPTQ(
      grid: rounded,
      try GPTQFeedback(
        moments: MomentMatrix(try moments(tokensAWindow: 160)), damping: 0.01, activationOrder: false))
    let packed = try gptq.quantizeRows(try floats("weights"), columns: Self.columns)
    let stored = packed.scales.map { Float(bitPattern: $0.bitPattern & 0xffff_0000) }
    #expect(packed.scales == stored)
  }

  private func refinement(refits: Bool, sweeps: Int) throws -> Refinement {
    Refinement(
      grid: grid, moments: MomentMatrix(try moments(tokensAWindow: 160)),
      steps: Refinement.Steps(refits: refits, sweeps: sweeps))
  }

  private func searched() throws -> PackedTensor {
    let packed = try ClipSearch(grid: grid, importance: try moments(tokensAWindow: 160).importance)
      .quantizeRows(try floats("weights"), columns: Self.columns)
    let expected = try golden.copiedBytes(of: "search.codes")
    #expect(codes(of: packed) == expected)
    return packed
  }

  @Test func `sweeps find the codes of steps that begin from scratch`() throws {
    var packed = try searched()
    let tables = (packed.scales, packed.biases)
    try refinement(refits: false, sweeps: 2).refine(&packed, of: try floats("weights"))
    let expected = try golden.copiedBytes(of: "sweeps.codes")
    #expect(codes(of: packed) == expected)
    #expect((packed.scales, packed.biases) == tables)
  }

  @Test func `a refit finds the tables of the dense least-squares problem`() throws {
    var packed = try searched()
    let codes = packed.codes
    try refinement(refits: true, sweeps: 0).refine(&packed, of: try floats("weights"))
    #expect(packed.codes == codes)
    #expect(largestDifference(packed.scales, try floats("refit.scales")) < 1e-5)
    #expect(largestDifference(packed.biases, try floats("refit.biases")) < 1e-5)
  }

  @Test func `refits and sweeps in turn find what the direct solutions find`() throws {
    var packed = try searched()
    try refinement(refits: true, sweeps: 2).refine(&packed, of: try floats("weights"))
    let expected = try golden.copiedBytes(of: "refined.codes")
    #expect(codes(of: packed) == expected)
    #expect(largestDifference(packed.scales, try floats("refined.scales")) < 1e-5)
    #expect(largestDifference(packed.biases, try floats("refined.biases")) < 1e-5)
  }

  @Test func `half-quadratic tables equal those of the formulas`() throws {
    let packed = try HalfQuadratic(grid: grid).quantizeRows(try floats("hqq.weights"), columns: 32)
    let (scales, biases) = (try floats("hqq.scales"), try floats("hqq.biases"))
    for i in scales.indices {
      #expect(abs(packed.scales[i] - scales[i]) <= 1e-6 * scales[i])
      #expect(abs(packed.biases[i] - biases[i]) <= 1e-5 * scales[i])
    }
  }

  @Test func `propagation corrects weights as the linear system does`() throws {
    let (values, weights) = (try floats("inputs"), try floats("weights"))
    let x = Matrix(rows: values.count / Self.columns, columns: Self.columns, values: values)
    var quantized = x
    for i in values.indices { quantized.values[i] = (values[i] * 4).rounded(.toNearestOrEven) / 4 }
    var moments = SecondMoments(order: Self.columns)
    moments.add(quantized)
    var difference = x
    for i in values.indices { difference.values[i] -= quantized.values[i] }
    var cross = CrossMoments(rows: Self.columns, columns: Self.columns)
    cross.add(difference, 0..<Self.columns, quantized)
    let correction = try ErrorPropagation.correction(
      cross.means, MomentMatrix(moments), share: 0.75, damping: 0.01)
    let corrected = weights.indices.map { i in
      (0..<Self.columns).reduce(Float(0)) { sum, k in
        sum + weights[i / Self.columns * Self.columns + k] * correction[k * Self.columns + i % Self.columns]
      }
    }
    #expect(largestDifference(corrected, try floats("propagation.weights")) < 1e-6)
    #expect(largestDifference(corrected, weights) > 1e-3)
    let none = try ErrorPropagation.correction(
      cross.means, MomentMatrix(moments), share: 0, damping: 0.01)
    let identity = none.indices.map { Float($0 % (Self.columns + 1) == 0 ? 1 : 0) }
    #expect(none == identity)
  }
}
