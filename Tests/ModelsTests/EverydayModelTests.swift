import Checkpoints
import Models
import TestSupport
import Testing

/// Models as users have them, whose parts say different things; perplexities are those of transformers.
@Suite struct EverydayModelTests {
  /// transformers prints two decimals.
  private static let tolerance = 0.005
  private let folder: TemporaryFolder
  private let fixture: Checkpoint

  init() throws {
    folder = try TemporaryFolder()
    fixture = try Checkpoint.open(path: Fixtures.path("tiny-llama"))
  }

  private func perplexity(of checkpoint: Checkpoint) throws -> Double {
    let tokens = try Tokenizer(of: fixture).encode(contentsOf: Fixtures.path("tiny-llama/evaluation.txt"))
    let windows = stride(from: 0, to: 2048, by: 256).map { Array(tokens[$0..<$0 + 256]) }
    return try Transformer(checkpoint).evaluate(windows).perplexity
  }

  @Test func `the head that is there is used beside tied embeddings`() throws {
    let different = try fixture.writeFolder(to: folder.path("different")) { $0.tieEmbeddings() }
    #expect(abs(try perplexity(of: different) - 39.36) < Self.tolerance)
  }

  @Test func `linear rope_scaling beside rope_parameters stretches positions`() throws {
    let linear = try fixture.writeFolder(to: folder.path("linear")) {
      $0.configuration["rope_scaling"] = .object([
        JSONValue.Member("type", .string("linear")), JSONValue.Member("factor", .double(2)),
      ])
    }
    #expect(abs(try perplexity(of: linear) - 48.68) < Self.tolerance)
  }

  @Test func `tensors without the prefix are those of the model`() throws {
    let bare = try fixture.writeFolder(to: folder.path("bare")) {
      $0.rename = { $0.hasPrefix("model.") ? String($0.dropFirst("model.".count)) : $0 }
    }
    #expect(try bare.logits(sampleTokens) == fixture.logits(sampleTokens))
  }

  @Test func `buffers of rotary frequencies are read over`() throws {
    let old = try fixture.writeFolder(to: folder.path("old")) {
      $0.added = [
        (
          TensorInfo(name: "model.layers.0.self_attn.rotary_emb.inv_freq", dtype: .f32, shape: [16]),
          [UInt8](repeating: 0, count: 64)
        )
      ]
    }
    #expect(try old.logits(sampleTokens) == fixture.logits(sampleTokens))
  }
}
