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

  @Test func `the clip search finds the scales and biases of the plain double loop`() throws {
    let search = ClipSearch(grid: grid, importance: try moments(tokensAWindow: 160).importance)
    let packed = try search.quantizeRows(try floats("weights"), columns: Self.columns)
    #expect(largestDifference(packed.scales, try floats("search.scales")) < 1e-7)
    #expect(largestDifference(packed.biases, try floats("search.biases")) < 1e-7)
  }

  @Test(arguments: [false, true])
  func `GPTQ's codes equal those of the direct solution`(activationOrder: Bool) throws {
    let gptq = GPTQ(
      grid: grid, moments: try moments(tokensAWindow: 32), damping: 0.01, activationOrder: activationOrder)
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
      grid: grid, moments: try moments(tokensAWindow: 32), damping: 0.01, activationOrder: false)
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
    let gptq = GPTQ(grid: grid, moments: moments, damping: 1e-300, activationOrder: false)
    #expect(gptq.damping > 1e-300 && gptq.damping < 1)
    let packed = try gptq.quantizeRows(noise("damped", count: 64, size: 0.1), columns: 32)
    #expect(packed.scales.allSatisfy { $0.isFinite && $0 > 0 })
  }

  @Test func `tables are rounded before codes are chosen`() throws {
    let rounded = QuantizationGrid(bits: 2, groupSize: 32, tables: .bf16)
    let gptq = GPTQ(
      grid: rounded, moments: try moments(tokensAWindow: 160), damping: 0.01, activationOrder: false)
    let packed = try gptq.quantizeRows(try floats("weights"), columns: Self.columns)
    let stored = packed.scales.map { Float(bitPattern: $0.bitPattern & 0xffff_0000) }
    #expect(packed.scales == stored)
  }
}
