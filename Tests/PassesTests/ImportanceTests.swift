import Checkpoints
import Kernels
import Passes
import TestSupport
import Testing

@Suite struct ImportanceTests {
  private static let text = PathOption(Fixtures.path("tiny-llama/calibration.txt"))

  private func quantize(_ change: (inout QuantizeOptions) -> Void) -> PassOptions {
    var options = QuantizeOptions {
      $0.method = .search
      $0.samples = 4
      $0.length = 64
    }
    change(&options)
    return .quantize(options)
  }

  private func writing(to path: String) -> PassOptions {
    quantize {
      $0.texts = [Self.text]
      $0.importanceOutput = PathOption(path)
    }
  }

  @Test func `the importance of a run gives the codes of that run`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let path = bench.folder.path("i.safetensors")
    let first = try bench.run(writing(to: path), to: "first.rilq").checkpoint
    let second = try bench.run(quantize { $0.importance = PathOption(path) }, to: "second.rilq").checkpoint
    let plain = try bench.run(quantize { _ in }, to: "plain.rilq").checkpoint
    try expectSameTensors(first, second)
    let name = "model.layers.0.mlp.up_proj.weight"
    #expect(try first.copiedBytes(of: name) != plain.copiedBytes(of: name))
    #expect(try bench.folder.names() == ["first.rilq", "i.safetensors", "plain.rilq", "second.rilq"])
  }

  @Test(arguments: ["i.safetensors", "i.gguf"])
  func `a file measured on the layers alone serves a run with embedding and head`(name: String) throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let path = bench.folder.path(name)
    let layers = try bench.run(writing(to: path), to: "layers.rilq").checkpoint
    let all = try bench.run(
      quantize {
        $0.importance = PathOption(path)
        $0.embeddingBits = 4
      }, to: "all.rilq"
    ).checkpoint
    try expectSameTensors(layers, all) { $0.hasPrefix("lm_head") || $0.hasPrefix("model.embed_tokens") }
    #expect(all.contents.quantization.count == layers.contents.quantization.count + 2)
  }

  @Test func `the file says what it was made from`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let path = bench.folder.path("i.safetensors")
    try bench.run(writing(to: path))
    let file = try SafetensorsFile(path: path)
    #expect(file.header.entries.count == 28)
    #expect(file.header.entries.allSatisfy { $0.tensor.dtype == .f32 && $0.tensor.shape.count == 1 })
    #expect(
      file.header.metadata == [
        "format": "rilq-importance", "version": "1", "tokens": "256", "windows": "4", "sampled": "0",
        "seed": "1",
        "text_sha256": "ed1ade80ff0db1531f17ae7f1f6895e68db6bf8d0ccb9e617093eacd474b61c4",
      ])
  }

  @Test func `a file that exists is replaced only when that is allowed`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let path = try bench.folder.write("i.safetensors", "mine")
    #expect(throws: FormatError(path, .exists)) { try bench.run(writing(to: path)) }
    #expect(try bench.folder.read("i.safetensors") == Array("mine".utf8))
    try bench.run(writing(to: path), force: true)
    #expect(try bench.folder.read("i.safetensors") != Array("mine".utf8))
  }

  /// The error of a file with one tensor more or another one.
  private func refusal(
    format: String = "rilq-importance", version: String = "1", _ change: (inout [String: [Float]]) -> Void
  ) throws -> String {
    let bench = try Workbench()
    var vectors: [String: [Float]] = [:]
    for module in ["q_proj", "k_proj", "v_proj", "o_proj"] {
      for layer in 0..<2 { vectors["model.layers.\(layer).self_attn.\(module).importance"] = ones }
    }
    for module in ["gate_proj", "up_proj", "down_proj"] {
      for layer in 0..<2 { vectors["model.layers.\(layer).mlp.\(module).importance"] = ones }
    }
    change(&vectors)
    let path = bench.folder.path("i.safetensors")
    try SafetensorsFile.write(
      path, vectors: vectors.map { ($0.key, $0.value) }, format: format, metadata: [("version", version)])
    return message { try bench.run(quantize { $0.importance = PathOption(path) }) }
      .replacing(bench.folder.path + "/", with: "")
  }

  private let ones = [Float](repeating: 1, count: 128)
  private let name = "model.layers.1.mlp.up_proj.importance"

  @Test func `a file that fits the checkpoint is taken`() throws {
    #expect(try refusal { _ in } == "no error")
  }

  @Test func `refuses another format or version`() throws {
    #expect(
      try refusal(format: "pt") { _ in }.says("i.safetensors: … 'rilq-importance' …"))
    #expect(try refusal(version: "2") { _ in }.says("i.safetensors: … '2' …"))
  }

  @Test func `refuses tensors that do not fit the checkpoint`() throws {
    #expect(try refusal { $0[name] = nil }.says("i.safetensors: … '\(name)' … missing"))
    #expect(
      try refusal { $0[name] = [1, 2] }.says("i.safetensors: tensor '\(name)': … [2] … [128]"))
    #expect(
      try refusal { $0["model.layers.7.mlp.up_proj.importance"] = ones }.says(
        "i.safetensors: tensor 'model.layers.7.mlp.up_proj.importance': names … linear …"))
    #expect(
      try refusal { $0["x"] = ones }.says("i.safetensors: tensor 'x': names … linear …"))
  }

  @Test(arguments: [-1, Float.nan, .infinity]) func `refuses values that are no importance`(value: Float)
    throws
  {
    let text = try refusal { $0[name]?[5] = value }
    #expect(text.says("i.safetensors: tensor '\(name)': value 5 … \(value) … at least 0 …"))
  }
}
