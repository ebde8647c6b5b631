import Checkpoints
import TestSupport
import Testing

@Suite struct MLXFolderTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func write(_ sample: SampleCheckpoint, shardByteLimit: Int = 1 << 30) throws {
    let writer = try SafetensorsFolderWriter(
      sample.contents, folder: folder.path("out"), shardByteLimit: shardByteLimit, isForMLX: true)
    for tensor in sample.contents.tensors {
      try TensorBytes(sample.values[tensor.name] ?? []).withSpan { try writer.write(tensor, $0) }
    }
    for asset in sample.contents.assets {
      try TensorBytes(Array((sample.assetTexts[asset.name] ?? "").utf8)).withSpan {
        try writer.write(asset, $0)
      }
    }
    _ = try writer.finish()
  }

  @Test func `the header and the configuration are those of the document`() throws {
    var sample = SampleCheckpoint(
      SampleCheckpoint.quantizedTensors("lm_head", out: 1, in: 32, bits: 2, groupSize: 32))
    sample.contents.quantization = ["lm_head": QuantizedLayout(bits: 2, groupSize: 32)]
    sample.setAsset(
      "config.json",
      #"{"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}, "quantization": {"origin": "x"}}"#)
    try write(sample)
    let file = try folder.read("out/model.safetensors")
    let header =
      #"{"__metadata__":{"format":"mlx"},"lm_head.weight":{"dtype":"U32","shape":[1,2],"data_offsets":[0,8]},"#
      + #""lm_head.biases":{"dtype":"F16","shape":[1,1],"data_offsets":[8,10]},"#
      + #""lm_head.scales":{"dtype":"F16","shape":[1,1],"data_offsets":[10,12]}}"#
    let padded = header + String(repeating: " ", count: (8 - header.utf8.count % 8) % 8)
    #expect(
      file == [UInt8(padded.utf8.count & 255), UInt8(padded.utf8.count >> 8), 0, 0, 0, 0, 0, 0]
        + Array(padded.utf8)
        + ["lm_head.weight", "lm_head.biases", "lm_head.scales"].flatMap { sample.values[$0] ?? [] })
    #expect(
      try JSONValue(contentsOf: folder.path("out/config.json")).compactText
        == #"{"rope_parameters":{"rope_theta":5e5,"rope_type":"default"},"#
        + #""quantization":{"group_size":32,"bits":2,"mode":"affine"},"#
        + #""model_type":"llama","rms_norm_eps":1e-06,"tie_word_embeddings":false,"rope_theta":5e5,"#
        + #""quantization_config":{"group_size":32,"bits":2,"mode":"affine"}}"#)
  }

  @Test func `the scaling that counts is the one that MLX gets`() throws {
    var sample = SampleCheckpoint([TensorInfo(name: "a", dtype: .f32, shape: [1])])
    sample.setAsset(
      "config.json",
      #"{"model_type": "llama", "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "#
        + #""num_attention_heads": 2, "vocab_size": 8, "rope_scaling": {"type": "linear", "factor": 2.0}, "#
        + #""rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}}"#)
    try write(sample)
    let json = try JSONValue(contentsOf: folder.path("out/config.json"))
    #expect(json["rope_scaling"]?.compactText == #"{"type":"linear","factor":2.0}"#)
    #expect(json["rope_theta"]?.double == 10_000)
  }

  @Test func `what the configuration says already stays`() throws {
    var sample = SampleCheckpoint.quantized()
    let text =
      #"{"model_type":"mistral","rms_norm_eps":1e-05,"rope_theta":7,"rope_parameters":{"rope_theta":5,"rope_type":"llama3"}}"#
    sample.setAsset("config.json", text)
    try write(sample)
    let written = try JSONValue(contentsOf: folder.path("out/config.json"))
    #expect(written["model_type"]?.string == "mistral")
    #expect(written["rope_theta"]?.integer == 7)
    #expect(written["rope_scaling"] == written["rope_parameters"])
    #expect(written["tie_word_embeddings"] == nil)
  }

  @Test func `the index states sizes and parameters`() throws {
    try write(SampleCheckpoint.quantized(), shardByteLimit: 100)
    let metadata = try JSONValue(contentsOf: folder.path("out/model.safetensors.index.json"))["metadata"]
    // 8 * 64 and 4 * 128 weights, and a norm of 3.
    #expect(metadata?.compactText == #"{"total_size":486,"total_parameters":1027}"#)
  }

  @Test func `refuses groups that MLX does not have`() throws {
    var sample = SampleCheckpoint(
      SampleCheckpoint.quantizedTensors("a", out: 2, in: 64, bits: 2, groupSize: 16))
    sample.contents.quantization = ["a": QuantizedLayout(bits: 2, groupSize: 16)]
    sample.setAsset("config.json", "{}")
    #expect(
      throws: FormatError(
        folder.path("out"), at: "module 'a'",
        .notExact("MLX has groups of 32, 64 and 128 columns, not of 16"))
    ) { try write(sample) }
    #expect(try folder.names() == [])
  }

  @Test func `refuses trained changes beside the tables`() throws {
    var sample = SampleCheckpoint.quantized()
    sample.add([TensorInfo(name: "a.scales_delta", dtype: .f32, shape: [8, 2])])
    let error = #expect(throws: FormatError.self) { try write(sample) }
    #expect(error?.place == "tensor 'a.scales_delta'")
  }
}

@Suite(.enabled(if: PythonPeer.has("mlx.core", "numpy"), "skipped: no Python with mlx and numpy"))
struct MLXPeerTests {
  @Test(arguments: [DType.f32, .f16, .bf16], [2, 3, 4, 5, 6, 8])
  func `MLX dequantizes to our weights`(tables: DType, bits: Int) throws {
    let folder = try TemporaryFolder()
    try GGUFSample(bits: bits, groupSize: 32, tables: tables).checkpoint().write(to: folder.path("model"))
    let result = try PythonPeer.runScript("check-mlx.py", folder.path("model"))
    #expect(result.text == "7 modules equal\n")
  }
}

/// What mlx-lm's programs need of the families, and what they do not compute.
@Suite struct MLXFamilyTests {
  /// The places of what keeps a fixture from being written for MLX.
  private static let obstacles = [
    "mistral": "key 'sliding_window'", "qwen2": "key 'sliding_window'", "gemma2": "key 'sliding_window'",
    "phi3": "key 'sliding_window'", "phi4-mini": "key 'rope_scaling'", "olmo3": "key 'rope_scaling'",
    "starcoder2": "key 'sliding_window'",
  ]
  /// Keys that mlx-lm's programs cannot do without, or assume otherwise.
  private static let neededKeys: [String: [String]] = [
    "qwen3": ["head_dim", "rope_theta", "tie_word_embeddings"], "gemma": ["head_dim"],
    "gemma3": ["query_pre_attn_scalar", "rope_local_base_freq", "rope_scaling", "sliding_window_pattern"],
    "granite": ["attention_multiplier", "logits_scaling", "attention_bias", "mlp_bias", "rope_theta"],
    "smollm3": ["no_rope_layers", "rope_theta"], "glm4": ["partial_rotary_factor", "rope_theta", "head_dim"],
    "cohere2": ["head_dim", "logit_scale", "sliding_window_pattern", "rope_theta"],
    "gpt-neox": ["rotary_pct", "rotary_emb_base", "layer_norm_eps"], "llama": ["rope_scaling", "rope_theta"],
    "llama-yarn": ["rope_scaling"], "olmo2": ["rope_theta"],
    "qwen3.5": ["rope_parameters", "full_attention_interval", "head_dim", "linear_num_value_heads"],
    "qwen3.5-moe": ["rope_parameters", "num_experts", "num_experts_per_tok", "norm_topk_prob"],
    "lfm2": ["block_dim", "block_ff_dim", "conv_bias", "conv_L_cache", "full_attn_idxs", "rope_theta"],
    "gemma4": ["global_head_dim", "num_global_key_value_heads", "num_kv_shared_layers"],
    "gemma4-ple": ["hidden_size_per_layer_input", "vocab_size_per_layer_input", "layer_types"],
  ]

  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func requireMLX(_ checkpoint: Checkpoint) throws {
    try ModelConfiguration(of: checkpoint).requireMLX(checkpoint.contents, path: "out")
  }

  /// Writes a checkpoint for MLX, checks that it is still the same model, and returns the keys of the model.
  private func keysForMLX(_ model: Checkpoint) throws -> JSONValue {
    let writer = try SafetensorsFolderWriter(model.contents, folder: folder.path("out"), isForMLX: true)
    for tensor in model.contents.tensors {
      try model.bytes(of: tensor.name).withSpan { try writer.write(tensor, $0) }
    }
    for asset in model.contents.assets {
      try #require(try model.asset(named: asset.name)).withSpan { try writer.write(asset, $0) }
    }
    _ = try writer.finish()
    let written = try Checkpoint.open(path: folder.path("out"))
    let (before, after) = (try ModelConfiguration(of: model), try ModelConfiguration(of: written))
    #expect(after.description == before.description && after.sizes == before.sizes)
    #expect(after.notices == before.notices)
    let json = try JSONValue(contentsOf: folder.path("out/config.json"))
    guard after.isNested else { return json }
    #expect(json["vocab_size"]?.integer == before.vocabularySize)
    return try #require(json["text_config"])
  }

  @Test(
    arguments: FamilyFixture.denseNames + ["gemma4", "gemma4-ple", "lfm2", "qwen3.5", "qwen3.5-moe"],
    FamilyFixture.Spelling.allCases)
  func `is refused by the name of what MLX ignores, or states what MLX needs`(
    name: String, spelling: FamilyFixture.Spelling
  ) throws {
    let model = try FamilyFixture(name).write(to: folder.path("model"), spelling).stackingExpertsForMLX()
    if let obstacle = Self.obstacles[name] {
      #expect(#expect(throws: FormatError.self) { try requireMLX(model) }?.place == obstacle)
      return
    }
    try requireMLX(model)
    let json = try keysForMLX(model)
    let common = ["model_type", "num_key_value_heads", "max_position_embeddings", "tie_word_embeddings"]
    for key in common + (Self.neededKeys[name] ?? []) {
      #expect(json[key].map { !$0.isNull } == true, "\(key)")
    }
  }

  @Test(arguments: [
    (try FamilyModel.mixtral(), "sliding_window", "16"),
    (try FamilyModel.qwen3Moe(), "use_sliding_window", "true"),
    (try FamilyModel.mixtral(), "rope_scaling", #"{"type": "linear", "factor": 2}"#),
    (try FamilyModel.qwen3Moe(), "rope_scaling", #"{"rope_type": "yarn", "factor": 4.0}"#),
    (try FamilyModel.mixtral(), "head_dim", "32"),
    // gpt-oss has this scaling if none is stated, and mlx-lm rounds its bounds.
    (try FamilyModel.gptOss(), "rope_scaling", "null"),
    (try FamilyModel.gptOss(), "swiglu_limit", "5.0"),
  ])
  func `what MLX would compute otherwise with experts is refused`(
    model: FamilyModel, key: String, value: String
  ) throws {
    // What keeps the model as MLX computes it, until the key is changed.
    let harmless = [
      "gpt_oss": [("rope_scaling", #"{"rope_type": "yarn", "factor": 4.0}"#)],
      "qwen3_moe": [("sliding_window", "16")],
    ]
    func write(_ changes: [(String, String)]) throws -> Checkpoint {
      var model = model
      for (key, value) in (harmless[model.configuration["model_type"]?.string ?? ""] ?? []) + changes {
        model.configuration.set(key, to: try JSONValue(parsing: Array(value.utf8)))
      }
      return try model.write(to: folder.path("\(changes.count)"))
    }
    try requireMLX(write([]))
    let error = #expect(throws: FormatError.self) { try requireMLX(write([(key, value)])) }
    #expect(error?.place == "key '\(key == "use_sliding_window" ? "sliding_window" : key)'")
  }

  /// What mlx-lm's programs of the newest families do not compute, with changed keys.
  @Test(arguments: [
    ("qwen3.5", "layer_types", #"["full_attention", "linear_attention"]"#, "layer_types"),
    ("qwen3.5", "layer_types", #"["linear_attention", "linear_attention"]"#, "layer_types"),
    ("qwen3.5", "linear_conv_kernel_dim", "1", "linear_conv_kernel_dim"),
    ("qwen3.5-moe", "layer_types", #"["full_attention", "full_attention"]"#, "layer_types"),
    ("lfm2", "full_attn_idxs", "[0, 1]", "layer_types"),
    ("lfm2", "full_attn_idxs", "[]", "layer_types"),
    ("lfm2", "rope_scaling", #"{"type": "linear", "factor": 2}"#, "rope_scaling"),
    ("lfm2", "head_dim", "32", "head_dim"),
    (
      "gemma4", "rope_parameters", #"{"rope_type": "dynamic", "factor": 2, "rope_theta": 1e6}"#,
      "rope_scaling"
    ),
    ("gemma4", "attention_k_eq_v", "false", nil),
    (
      "gemma4-ple", "per_layer_config",
      #"{"1": {"head_dim": 32, "num_key_value_heads": 1}, "3": {"head_dim": 32, "num_key_value_heads": 1}}"#,
      "per_layer_config"
    ),
    ("gemma4-ple", "sliding_window", "null", "per_layer_config"),
    ("llama", "hidden_act", #""gelu""#, "hidden_act"), ("gpt-neox", "hidden_act", #""gelu_fast""#, nil),
  ])
  func `what is not that of MLX's program is refused by its key`(
    name: String, key: String, value: String, place: String?
  ) throws {
    var configuration = try FamilyFixture(name).configuration()
    configuration.set(key, to: try JSONValue(parsing: Array(value.utf8)))
    var model = try FamilyModel(configuration.compactText)
    model.prefix = name == "gpt-neox" ? "gpt_neox." : "model."
    let checkpoint = try model.write(to: folder.path("model")).stackingExpertsForMLX()
    guard let place else { return try requireMLX(checkpoint) }
    let error = #expect(throws: FormatError.self) { try requireMLX(checkpoint) }
    #expect(error?.place == "key '\(place)'")
    guard case .notExact = error?.problem else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  @Test(arguments: ["model.language_model.", "language_model.model.", "model."])
  func `a model inside Gemma 4 is found by its prefix`(prefix: String) throws {
    let text = try FamilyFixture("gemma4").configuration().compactText
    var model = try FamilyModel(#"{"model_type": "gemma4", "text_config": \#(text)}"#)
    model.prefix = prefix
    let checkpoint = try model.write(to: folder.path("model"))
    guard prefix == "model." else { return try requireMLX(checkpoint) }
    #expect(
      #expect(throws: FormatError.self) { try requireMLX(checkpoint) }?.place
        == "tensor 'model.embed_tokens.weight'")
  }

  @Test func `the older spelling of the wavelengths becomes that of MLX`() throws {
    let model = try FamilyFixture("qwen3.5-moe").write(to: folder.path("model")) { configuration in
      configuration = .object((configuration.object ?? []).filter { $0.key != "rope_parameters" })
      configuration.set("rope_theta", to: .integer(5000))
      configuration.set("partial_rotary_factor", to: .double(0.5))
      configuration.set(
        "rope_scaling", to: .object([.init("type", .string("linear")), .init("factor", .integer(2))]))
    }
    let keys = try keysForMLX(model.stackingExpertsForMLX())
    #expect(keys["rope_scaling"] == nil)
    let parameters = try #require(keys["rope_parameters"])
    #expect(parameters["rope_theta"]?.double == 5000 && parameters["partial_rotary_factor"]?.double == 0.5)
    #expect(parameters["type"]?.string == "linear" && parameters["factor"]?.double == 2)
  }

  @Test func `Qwen 3_5 without a larger model gets the type and the place that MLX knows`() throws {
    let model = try FamilyFixture("qwen3.5").write(to: folder.path("model"))
    _ = try keysForMLX(model)
    let json = try JSONValue(contentsOf: folder.path("out/config.json"))
    #expect(json["model_type"]?.string == "qwen3_5")
    #expect(json["text_config"]?["model_type"]?.string == "qwen3_5_text")
  }

  @Test func `the tokens of images, which MLX reads as their own, have a notice`() throws {
    for (token, count) in [(5, 1), (5000, 0)] {
      var configuration = try FamilyFixture("gemma4").configuration()
      configuration.set("image_token_id", to: .integer(token))
      let model = try ModelConfiguration(configuration, path: "config.json")
      #expect(model.noticesForMLX.count == count)
      #expect(model.noticesForMLX.allSatisfy { $0.contains("\(token)") })
    }
  }

  @Test(arguments: [
    ("mistral", "sliding_window", "null"), ("qwen2", "use_sliding_window", "false"),
    ("phi4-mini", "rope_scaling", "null"),
    (
      "olmo3", "rope_scaling",
      #"{"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}"#
    ),
    ("gemma2", "sliding_window", "512"),
  ])
  func `a model without the obstacle is written`(name: String, key: String, value: String) throws {
    let value = try JSONValue(parsing: Array(value.utf8))
    try requireMLX(FamilyFixture(name).write(to: folder.path("model")) { $0.set(key, to: value) })
  }

  @Test(arguments: [
    ("olmo3", "rope_scaling", #"{"rope_type": "yarn", "factor": 4.0, "truncate": false}"#),
    ("gemma3", "final_logit_softcapping", "4.0"),
    ("gemma", "rope_scaling", #"{"type": "linear", "factor": 2}"#),
    ("gemma3", "layer_types", #"["full_attention", "sliding_attention"]"#),
    ("llama", "attention_bias", "false"), ("glm4", "tie_word_embeddings", "true"),
  ])
  func `what MLX would compute otherwise is refused`(name: String, key: String, value: String) throws {
    let value = try JSONValue(parsing: Array(value.utf8))
    var model = try FamilyFixture(name).write(to: folder.path("model")) { $0.set(key, to: value) }
    if key == "tie_word_embeddings" {
      model = try model.writeFolder(to: folder.path("tied")) {
        $0.rename = { $0 == "lm_head.weight" ? nil : $0 }
      }
    }
    let error = #expect(throws: FormatError.self) { try requireMLX(model) }
    guard case .notExact = error?.problem else {
      Issue.record("\(String(describing: error))")
      return
    }
  }
}
