import Checkpoints
import Kernels
import Models
import Passes
import TestSupport
import Testing

/// Passes on mixtures of experts.
@Suite(.serialized) struct ExpertPassTests {
  private static let text = PathOption(Fixtures.path("tiny-llama/calibration.txt"))
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func run(
    _ passes: PassOptions..., on input: Checkpoint, to name: String = "out.rilq",
    as format: OutputFormat? = nil
  ) throws -> PassResult {
    let path = folder.path(name)
    let recipe = Recipe(
      input: PathOption(input.path), output: PathOption(path), outputFormat: format, passes: passes)
    let report = try Pipeline(recipe, Pipeline.Options(version: "0.0.0")).run()
    return PassResult(checkpoint: try Checkpoint.open(path: path), reports: report.passes.map(\.report.json))
  }

  private func quantize(_ change: (inout QuantizeOptions) throws -> Void = { _ in }) rethrows -> PassOptions {
    var options = QuantizeOptions { $0.groupSize = 32 }
    try change(&options)
    return .quantize(options)
  }

  /// gpt-oss with its experts in two tensors per layer; no token is sent to the third expert.
  private func gptOss() throws -> Checkpoint {
    let separate = try FamilyModel.gptOss().write(to: folder.path("separate")) { name, values in
      if name.hasSuffix("router.bias") { values[2] = -1000 }
    }
    return try separate.fusingExperts(to: folder.path("fused"), count: 4, isTransposed: true)
  }

  @Test func `experts in one tensor are quantized one by one, and routers stay`() throws {
    let input = try gptOss()
    let result = try run(quantize(), on: input)
    let experts = (0..<2).flatMap { layer in
      (0..<4).flatMap { expert in
        ["gate_proj", "up_proj", "down_proj"].map { "model.layers.\(layer).mlp.experts.\(expert).\($0)" }
      }
    }
    let quantized = Set(result.checkpoint.contents.quantization.keys)
    #expect(quantized.isSuperset(of: experts) && quantized.count == experts.count + 8)
    let routers = ["model.layers.0.mlp.router", "model.layers.1.mlp.router"]
    for router in routers {
      let name = router + ".weight"
      #expect(try result.checkpoint.copiedBytes(of: name) == input.copiedBytes(of: name))
    }
    #expect(result["modules_left_alone"] == .integer(2))
    #expect(result["left_alone"]?.object?.map(\.key) == routers)
    // What is quantized afterwards gives the same.
    let separate = try run(
      quantize(), on: Checkpoint.open(path: folder.path("separate")), to: "separate.rilq")
    try expectSameTensors(result.checkpoint, separate.checkpoint)
  }

  @Test func `without a selected expert, tensors of all experts stay`() throws {
    let input = try gptOss()
    let result = try run(try quantize { $0.targets = try patterns("*.self_attn.*") }, on: input)
    let name = "model.layers.0.mlp.experts.gate_up_proj"
    #expect(result.checkpoint.tensor(named: name) == input.tensor(named: name))
    #expect(result.checkpoint.contents.quantization.count == 8)
  }

  @Test func `a router cannot be selected`() throws {
    let input = try gptOss()
    #expect(throws: PassError.self) {
      try run(try quantize { $0.targets = try patterns("*.mlp.router") }, on: input)
    }
  }

  @Test func `an expert with few tokens is rounded by its weights alone, and the report counts them`() throws
  {
    let input = try gptOss()
    let gptq = try run(
      quantize {
        $0.method = .gptq
        $0.texts = [Self.text]
        $0.samples = 4
        $0.length = 32
      }, on: input)
    let tokens = try #require(gptq["tokens_of_experts"]?.object)
    let unreached = tokens.filter { $0.key.contains(".experts.2.") }
    #expect(unreached.count == 6 && unreached.allSatisfy { $0.value == .integer(0) })
    #expect(gptq["experts_with_few_tokens"] == .integer(tokens.count) && tokens.count < 24)
    let search = try run(quantize { $0.method = .search }, on: input, to: "search.rilq")
    func isScarce(_ name: String) -> Bool { tokens.contains { name.hasPrefix($0.key + ".") } }
    try expectSameTensors(gptq.checkpoint, search.checkpoint) { !isScarce($0) }
    let other = "model.layers.0.self_attn.q_proj.weight"
    #expect(try gptq.checkpoint.copiedBytes(of: other) != search.checkpoint.copiedBytes(of: other))
  }

  @Test(arguments: [AdapterInitialization.qera, .atc])
  func `a mixture is quantized, compensated, calibrated and merged`(initialization: AdapterInitialization)
    throws
  {
    let isUnreached = initialization == .atc
    let input = isUnreached ? try gptOss() : try FamilyModel.mixtral().write(to: folder.path("model"))
    let result = try run(
      quantize {
        $0.method = .gptq
        $0.texts = [Self.text]
        $0.samples = 4
        $0.length = 32
        $0.layerEpochs = 1
        $0.propagation = 0.5
      },
      .attach(
        AttachOptions {
          $0.initialization = initialization
          $0.text = Self.text
          $0.rank = 2
          $0.samples = 4
          $0.length = 32
        }),
      .calibrate(
        CalibrateOptions {
          $0.texts = [Self.text]
          $0.samples = 8
          $0.length = 32
          $0.updates = 3
          $0.validation = 0
        }),
      .merge(MergeOptions()),
      .verify(
        VerifyOptions {
          $0.text = Self.text
          $0.maxTokens = 128
          $0.window = 32
        }), on: input)
    let losses = ["layer_loss_before", "layer_loss_after"].map { result.reports[0][$0]?.double ?? .nan }
    #expect(losses[1] < losses[0])
    #expect(result.reports[1]["modules_without_tokens"] == (isUnreached ? .integer(6) : nil))
    #expect(result["passed"] == .bool(true))
    #expect(result.checkpoint.contents.adapter == nil)
  }

  @Test func `a budget of bits is spent on the experts that matter`() throws {
    let result = try run(
      quantize {
        $0.method = .search
        $0.texts = [Self.text]
        $0.samples = 4
        $0.length = 32
        $0.tables = .f16
        $0.bitsPerWeight = 4.2
      }, on: gptOss())
    let bits = result.checkpoint.contents.quantization.filter { $0.key.contains(".experts.2.") }.values.map(
      \.bits)
    #expect(bits.allSatisfy { $0 == 2 } && bits.count == 6)
    #expect(result.checkpoint.contents.quantization.values.contains { $0.bits > 2 })
  }

  @Test(arguments: [true, false])
  func `MLX gets the experts of a layer in one tensor, which reads back`(isQuantized: Bool) throws {
    let input = try FamilyModel.qwen3Moe().write(to: folder.path("model"))
    let source = isQuantized ? try run(quantize(), on: input).checkpoint : input
    let mlx = try run(on: source, to: "mlx", as: .mlx).checkpoint
    #expect(mlx.contents.quantization == source.contents.quantization)
    #expect(Set(mlx.contents.tensors.map(\.name)) == Set(source.contents.tensors.map(\.name)))
    try expectSameTensors(source, mlx)
    let stored = try SafetensorsFile(path: folder.path("mlx/model.safetensors")).header.entries.map(\.tensor)
    let stack = "model.layers.1.mlp.switch_mlp.down_proj.weight"
    #expect(stored.first { $0.name == stack }?.shape == (isQuantized ? [5, 64, 2] : [5, 64, 32]))
    #expect(!stored.contains { $0.name.contains(".experts.") })
    let configuration = try JSONValue(contentsOf: folder.path("mlx/config.json"))
    #expect(
      configuration["num_experts"] == .integer(5) && configuration["decoder_sparse_step"] == .integer(1))
  }

  @Test func `experts of one layer with different bits are refused for MLX`() throws {
    let input = try FamilyModel.mixtral().write(to: folder.path("model"))
    let pass = try quantize {
      $0.overrides = [QuantizeOverride(targets: try patterns("*.experts.3.w1"), bits: 4)]
    }
    let error = #expect(throws: FormatError.self) { try run(pass, on: input, to: "mlx", as: .mlx) }
    #expect(error?.place == "module 'model.layers.0.block_sparse_moe.experts.3.w1'")
    #expect(try folder.names() == ["model"])
  }

  @Test(arguments: [
    ("model.layers.0.mlp.extra_proj", true), ("model.layers.0.mlp.gate", false),
    ("model.layers.0.router.proj", false), ("model.layers.0.mlp.shared_expert_gate", false),
    ("vision_tower.encoder.layers.0.mlp.fc1", false), ("model.visual.layers.0.proj", false),
    ("mtp.layers.0.mlp.up_proj", false), ("model.layers.0.conv.in_proj", false),
    ("model.layers.0.linear_attn.in_proj_a", false),
  ])
  func `names alone tell what is no linear of an unknown architecture`(module: String, expected: Bool) throws
  {
    let base = try TinyModel().write(to: folder.path("base"))
    let unknown = try base.writeFolder(to: folder.path("unknown")) {
      $0.configuration["model_type"] = .string("unheard-of")
      $0.rename = { $0 == "model.layers.0.mlp.gate_proj.weight" ? module + ".weight" : $0 }
      let fused = TensorInfo(name: "model.layers.0.mlp.experts.down_proj", dtype: .bf16, shape: [2, 2, 2])
      $0.added = [(fused, [UInt8](repeating: 0, count: 16))]
    }
    let names = ModuleDescription.matrices(of: unknown).filter(\.isLayerLinear).map(\.name)
    #expect(names.contains(module) == expected)
    let leftAlone = UnquantizedModule.all(in: unknown)
    #expect(leftAlone.contains { $0.name == module } == !expected)
    #expect(leftAlone.contains { $0.name.hasSuffix("experts.down_proj") && $0.reason == .fusedExperts })
  }
}
