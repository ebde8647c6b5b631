import Checkpoints
import Kernels
import Passes
import TestSupport
import Testing

/// GGUF files of models with experts, with states, or with layers that differ.
struct GGUFFamilyOutputTests {
  /// A model that llama.cpp computes.
  struct Example: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let make: @Sendable () throws -> FamilyModel
    /// Changes of the configuration, or of its part that describes the text.
    var changes: [String: JSONValue] = [:]

    init(
      _ name: String, _ changes: [String: JSONValue] = [:],
      _ make: @escaping @Sendable () throws -> FamilyModel
    ) {
      testDescription = name
      self.changes = changes
      self.make = make
    }

    /// Writes the model in BF16.
    func write(to folder: TemporaryFolder) throws -> Checkpoint {
      var model = try make()
      model.dtype = .bf16
      model.others = model.others.map { TensorInfo(name: $0.name, dtype: .bf16, shape: $0.shape) }
      for (key, value) in changes {
        if var text = model.configuration["text_config"] {
          text.set(key, to: value)
          model.configuration.set("text_config", to: text)
        } else {
          model.configuration.set(key, to: value)
        }
      }
      return try model.write(to: folder.path("model"))
    }
  }

  /// llama.cpp has heads of values that are as wide as those of keys; here they are whole blocks.
  private static let wideHeads: [String: JSONValue] = [
    "linear_key_head_dim": .integer(32), "linear_value_head_dim": .integer(32),
  ]
  private static let mixtral = Example("mixtral") { try .mixtral() }
  private static let qwen3Moe = Example(
    "qwen3_moe", ["norm_topk_prob": .bool(true), "mlp_only_layers": .array([])]
  ) { try .qwen3Moe() }
  private static let gptOss = Example("gpt_oss") { try .gptOss() }

  static let examples = [
    mixtral, qwen3Moe, gptOss,
    Example("qwen3_5", wideHeads) { try .qwen3_5() },
    Example("qwen3_5_moe", wideHeads) { try .qwen3_5Moe() },
    Example("lfm2") { try .lfm2() },
    Example("gemma4") { try .gemma4() },
    Example("gemma4 with shared keys") { try .connectedGemma4() },
  ]

  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func run(
    _ passes: [PassOptions], on input: Checkpoint, to name: String, _ type: GGUFLinearType = .auto
  ) throws -> (checkpoint: Checkpoint, document: JSONValue) {
    let recipe = Recipe(
      input: PathOption(input.path), output: PathOption(folder.path(name)), passes: passes)
    let report = try Pipeline(recipe, Pipeline.Options(version: "0.0.0", ggufType: type)).run()
    return (try Checkpoint.open(path: folder.path(name)), report.json)
  }

  private func quantize(_ change: (inout QuantizeOptions) throws -> Void = { _ in }) rethrows -> PassOptions {
    var options = QuantizeOptions {
      $0.groupSize = 32
      $0.tables = .f16
    }
    try change(&options)
    return .quantize(options)
  }

  @Test(arguments: examples) func `is read back with the same tensors and logits`(example: Example) throws {
    let input = try example.write(to: folder)
    let (found, document) = try run([], on: input, to: "out.gguf")
    #expect(document["proof"]?["equal"] == .bool(true))
    #expect(try found.logits(sampleTokens) == input.logits(sampleTokens))
    try expectSameTensors(found, input.withUsualNames())
  }

  @Test(arguments: examples) func `keeps packed weights, of experts too`(example: Example) throws {
    let input = try example.write(to: folder)
    let packed = try run([quantize()], on: input, to: "out.rilq").checkpoint
    let (found, document) = try run([], on: packed, to: "out.gguf")
    #expect(document["proof"]?["equal"] == .bool(true))
    #expect((document["types"]?["Q4_1"]?.integer ?? 0) > 0)
    let expected = try packed.withUsualNames()
    #expect(found.contents.quantization == expected.contents.quantization)
    try expectSameTensors(found, expected)
    #expect(try found.logits(sampleTokens) == packed.logits(sampleTokens))
  }

  @Test func `experts in one tensor are written like experts one by one`() throws {
    let separate = try Self.gptOss.make().write(to: folder.path("separate"))
    let fused = try separate.fusingExperts(to: folder.path("fused"), count: 4, isTransposed: true)
    let found = try run([], on: fused, to: "fused.gguf").checkpoint
    try expectSameTensors(found, run([], on: separate, to: "separate.gguf").checkpoint)
    #expect(found.tensor(named: "model.layers.1.mlp.experts.3.down_proj.bias")?.shape == [64])
  }

  @Test func `a stack has one tensor in the file, of the type that holds every expert`() throws {
    let input = try Self.mixtral.write(to: folder)
    let mixed = try quantize {
      $0.overrides = [QuantizeOverride(targets: try patterns("*.experts.2.*"), bits: 4)]
    }
    let packed = try run([mixed], on: input, to: "out.rilq").checkpoint
    let found = try run([], on: packed, to: "out.gguf").checkpoint
    let header = try GGUFHeader(of: InputFile(path: folder.path("out.gguf"), access: .read))
    let stack = try #require(header.entries.first { $0.name == "blk.1.ffn_up_exps.weight" })
    #expect(stack.shape == [4, 64, 64] && stack.type == .q4_1)
    #expect(found.contents.quantization == packed.contents.quantization)
    try expectSameTensors(found, packed)
  }

  @Test func `experts that no type holds together are refused with the first one that differs`() throws {
    let input = try Self.mixtral.write(to: folder)
    let ignoring = try quantize { $0.ignore = try patterns("*.experts.2.w3") }
    let packed = try run([ignoring], on: input, to: "out.rilq").checkpoint
    let error = #expect(throws: FormatError.self) { try run([], on: packed, to: "out.gguf") }
    #expect(error?.place == "tensor 'model.layers.0.block_sparse_moe.experts.2.w3.weight'")
    guard case .notExact(let reason) = error?.problem else {
      Issue.record("\(error.map(\.description) ?? "no error")")
      return
    }
    #expect(reason.contains("other experts") && reason.contains("--gguf-type f32"))
    let found = try run([], on: packed, to: "out.gguf", .f32).checkpoint
    #expect(try found.logits(sampleTokens) == packed.logits(sampleTokens))
  }

  @Test func `codes in blocks wider than the heads that change places are refused`() throws {
    let input = try FamilyModel.qwen3_5().write(to: folder.path("model"))
    let error = #expect(throws: FormatError.self) { try run([quantize()], on: input, to: "out.gguf") }
    #expect(error?.place.map { $0.contains("linear_attn.out_proj") } == true)
    #expect(error?.description.contains("heads of 16") == true)
  }
}
