import Checkpoints
import Kernels
import Models
import Passes
import TestSupport
import Testing

/// GPTQ beside that of mlx-lm and llm-compressor on the same weights, inputs and search; `Scripts/make-gptq-peer-golden.py`
/// ran them.
@Suite struct GPTQPeerTests {
  private static let columns = 128
  /// Tables follow the weights that are left, and those carry the rounding of a factor in single precision.
  private static let tableTolerance: Float = 1e-5
  private let golden: Checkpoint
  private let grid = QuantizationGrid(bits: 2, groupSize: 32, tables: .f32)

  init() throws {
    golden = try Checkpoint.open(path: Fixtures.path("golden/gptq-peers.safetensors"))
  }

  private func floats(_ name: String) throws -> [Float] { try Fixtures.floats(name, in: golden) }

  /// What we make of the weights, one column of the inputs set to zero.
  private func quantized(zeroColumn: Int?, activationOrder: Bool) throws -> PackedTensor {
    var inputs = try floats("inputs")
    if let zeroColumn {
      for i in stride(from: zeroColumn, to: inputs.count, by: Self.columns) { inputs[i] = 0 }
    }
    let moments = SecondMoments(
      of: Matrix(rows: inputs.count / Self.columns, columns: Self.columns, values: inputs))
    let feedback = try GPTQFeedback(
      moments: MomentMatrix(moments), damping: 0.01, activationOrder: activationOrder)
    return try GPTQ(grid: grid, feedback).quantizeRows(try floats("weights"), columns: Self.columns)
  }

  private func expect(_ packed: PackedTensor, equals peer: String) throws {
    let expected = try golden.copiedBytes(of: peer + ".codes")
    var codes = [UInt8](repeating: 0, count: expected.count)
    var span = codes.mutableSpan
    let bytes = packed.codes.span
    unpackCodes(unsafe bytes.bytes, bits: 2, into: &span)
    #expect(codes == expected)
    #expect(largestDifference(packed.scales, try floats(peer + ".scales")) < Self.tableTolerance)
    #expect(largestDifference(packed.biases, try floats(peer + ".biases")) < Self.tableTolerance)
  }

  @Test func `all codes equal mlx-lm's, columns in order, tables at each group's start`() throws {
    try expect(try quantized(zeroColumn: nil, activationOrder: false), equals: "mlx-lm")
  }

  @Test func `all codes equal llm-compressor's, columns by activation, static tables, a zero input`() throws {
    try expect(try quantized(zeroColumn: 41, activationOrder: true), equals: "llmcompressor")
  }
}
