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
  @Test(arguments: [DType.f32, .f16, .bf16], [2, 3, 4, 8])
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
  ]

  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func requireMLX(_ checkpoint: Checkpoint) throws {
    try ModelConfiguration(of: checkpoint).requireMLX(checkpoint.contents, path: "out")
  }

  @Test(arguments: FamilyFixture.denseNames, FamilyFixture.Spelling.allCases)
  func `is refused by the name of what MLX ignores, or states what MLX needs`(
    name: String, spelling: FamilyFixture.Spelling
  ) throws {
    let model = try FamilyFixture(name).write(to: folder.path("model"), spelling)
    if let obstacle = Self.obstacles[name] {
      #expect(#expect(throws: FormatError.self) { try requireMLX(model) }?.place == obstacle)
      return
    }
    try requireMLX(model)
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
    var json = try JSONValue(contentsOf: folder.path("out/config.json"))
    if before.isNested {
      #expect(json["vocab_size"]?.integer == before.vocabularySize)
      json = try #require(json["text_config"])
    }
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

  @Test func `what was not compared with MLX has a notice`() throws {
    for (model, count) in [(try FamilyModel.qwen3_5Moe(), 1), (try FamilyModel.gptOss(), 0)] {
      let configuration = try ModelConfiguration(model.configuration, path: "config.json")
      #expect(configuration.noticesForMLX.count == count)
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
