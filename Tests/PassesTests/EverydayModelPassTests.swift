import Checkpoints
import Models
import Passes
import TestSupport
import Testing

/// Passes on models as users have them, whose parts say different things.
@Suite struct EverydayModelPassTests {
  private let bench: Workbench

  init() throws { bench = try Workbench() }

  @Test func `a packed head beside tied embeddings is the head`() throws {
    let different = try bench.input.writeFolder(to: bench.folder.path("different")) { $0.tieEmbeddings() }
    let options = try QuantizeOptions { ($0.bits, $0.targets) = (8, try patterns("lm_head")) }
    let packed = try bench.run(.quantize(options), on: different, to: "packed").checkpoint
    let model = try Transformer(packed)
    #expect(model.hasOwnHead && model.head.linears[0].weight.packed != nil)
    #expect(packed.notices.count == 1)
    let logits = try bench.input.logits(sampleTokens)
    let tied = try bench.input.writeFolder(to: bench.folder.path("tied")) {
      $0.tieEmbeddings()
      $0.rename = { $0 == "lm_head.weight" ? nil : $0 }
    }
    let distance = largestDifference(try tied.logits(sampleTokens), logits)
    #expect(largestDifference(try packed.logits(sampleTokens), logits) < 0.05 * distance)
  }

  @Test func `a model without the usual prefix is quantized to the same weights`() throws {
    let bare = try bench.input.writeFolder(to: bench.folder.path("bare")) {
      $0.rename = { $0.hasPrefix("model.") ? String($0.dropFirst("model.".count)) : $0 }
    }
    let usual = try bench.run(.quantize(QuantizeOptions()), to: "usual.rilq").checkpoint
    let packed = try bench.run(.quantize(QuantizeOptions()), on: bare, to: "bare.rilq").checkpoint
    #expect(packed.contents.quantization.count == 14)
    #expect(try packed.logits(sampleTokens) == usual.logits(sampleTokens))
  }

  @Test func `a matrix that the architecture does not name is no linear of the layer`() throws {
    let name = "model.layers.0.mlp.extra_proj.weight"
    let odd = try bench.input.writeFolder(to: bench.folder.path("odd")) {
      $0.added = [
        (TensorInfo(name: name, dtype: .bf16, shape: [8, 128]), [UInt8](repeating: 0, count: 2048))
      ]
    }
    let packed = try bench.run(.quantize(QuantizeOptions()), on: odd).checkpoint
    #expect(packed.contents.quantization.count == 14)
    #expect(packed.tensor(named: name)?.dtype == .bf16)
    let unknown = try odd.writeFolder(to: bench.folder.path("unknown")) {
      $0.configuration["model_type"] = .string("another")
    }
    let all = try bench.run(.quantize(QuantizeOptions()), on: unknown, to: "all.rilq").checkpoint
    #expect(all.contents.quantization.count == 15)
  }
}
