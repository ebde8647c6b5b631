import Checkpoints
import Models
import TestSupport
import Testing

@Suite struct FinitenessTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func model(damaging name: String, _ value: Float = .nan) throws -> Transformer {
    try Transformer(
      TinyModel().write(to: folder.path("model")) { tensor, values in
        // Row 2 of the embedding is that of the first sample token.
        if tensor == name { values[128 * 2 % values.count + 5] = value }
      })
  }

  @Test(arguments: [
    "model.layers.1.mlp.up_proj.weight", "model.layers.0.self_attn.q_proj.weight",
    "model.layers.0.input_layernorm.weight", "model.norm.weight", "lm_head.weight",
    "model.embed_tokens.weight",
  ])
  func `a perplexity that is not finite is refused by the tensor`(name: String) throws {
    let broken = try model(damaging: name)
    let error = #expect(throws: ModelError.self) { try broken.evaluate([sampleTokens]) }
    #expect(error?.description.hasPrefix(folder.path("model") + ": tensor '\(name)': value 5") == true)
    #expect(error?.description.hasSuffix("not finite") == true)
  }

  @Test(arguments: [true, false])
  func `a comparison names the tensor of either model`(isReference: Bool) throws {
    let name = "model.layers.1.mlp.up_proj.weight"
    let broken = try model(damaging: name)
    let fine = try Transformer(TinyModel().write(to: folder.path("fine")))
    let error = #expect(throws: ModelError.self) {
      try (isReference ? broken : fine).compare(with: isReference ? fine : broken, on: [sampleTokens])
    }
    #expect(error?.description.hasPrefix(folder.path("model") + ": tensor '\(name)'") == true)
  }

  @Test func `the first damaged tensor is named, not the last`() throws {
    let broken = try Transformer(
      TinyModel().write(to: folder.path("model")) { tensor, values in
        if tensor.hasSuffix("down_proj.weight") { values[0] = .infinity }
      })
    let error = #expect(throws: ModelError.self) { try broken.evaluate([sampleTokens]) }
    #expect(error?.description.contains("'model.layers.0.mlp.down_proj.weight'") == true)
  }

  @Test func `a finite model whose activations are not is refused by the layer`() throws {
    let broken = try Transformer(
      TinyModel { $0.dtype = .f32 }.write(to: folder.path("model")) { tensor, values in
        guard tensor.hasPrefix("model.layers.1.mlp.") else { return }
        for i in values.indices { values[i] *= 1e25 }
      })
    let error = #expect(throws: ModelError.self) { try broken.evaluate([sampleTokens]) }
    #expect(error?.description.contains("the output of layer 1 is not finite") == true)
  }

  @Test func `what is written is refused by the tensor as well`() throws {
    let broken = try model(damaging: "model.layers.1.mlp.up_proj.weight")
    let error = #expect(throws: ModelError.self) {
      try broken.generate(from: [1, 2], maxTokens: 4, sampling: SamplingOptions(), endTokens: [])
    }
    #expect(error?.description.contains("'model.layers.1.mlp.up_proj.weight': value 5") == true)
  }

  @Test func `windows of different lengths, and no prompt, are refused`() throws {
    let fine = try Transformer(TinyModel().write(to: folder.path("model")))
    #expect(throws: ModelError.self) { try fine.evaluate([sampleTokens, Array(sampleTokens.dropLast())]) }
    #expect(throws: ModelError.self) { try fine.compare(with: fine, on: [[1]]) }
    #expect(throws: ModelError.self) {
      try fine.generate(from: [], maxTokens: 4, sampling: SamplingOptions(), endTokens: [])
    }
  }
}
