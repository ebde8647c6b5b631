import Checkpoints
import Kernels
import TestSupport

/// A Llama checkpoint of one layer whose linears are packed with tables chosen by a test.
struct GGUFSample: Sendable {
  var bits = 2
  var groupSize = 64
  var tables = DType.f16
  /// The bias of a group, from its scale; nil draws it.
  var bias: (@Sendable (Float) -> Float)?
  /// What is put in the place of the first scale.
  var firstScale: Float?
  var seed: UInt64 = 5

  /// The configuration, with some values changed.
  static func configuration(_ changes: [JSONValue.Member] = []) throws -> ModelConfiguration {
    var json = JSONValue.object([
      JSONValue.Member("hidden_size", .integer(128)), JSONValue.Member("intermediate_size", .integer(128)),
      JSONValue.Member("num_hidden_layers", .integer(1)),
      JSONValue.Member("num_attention_heads", .integer(2)),
      JSONValue.Member("num_key_value_heads", .integer(1)), JSONValue.Member("head_dim", .integer(64)),
      JSONValue.Member("vocab_size", .integer(5)), JSONValue.Member("max_position_embeddings", .integer(64)),
      JSONValue.Member("rms_norm_eps", .double(1e-5)), JSONValue.Member("tie_word_embeddings", .bool(true)),
    ])
    for change in changes { json.set(change.key, to: change.value) }
    return try ModelConfiguration(json, path: "config.json")
  }

  /// The model of the sample, with some values of its configuration changed.
  static func model(
    _ changes: [JSONValue.Member] = [], head: OutputHead = .embedding
  ) throws -> GGUFExportModel {
    GGUFExportModel(name: "sample", ModelLayout(try configuration(changes)), head: head)
  }

  static let tokenizer = """
    {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
     "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]},
     "added_tokens": [{"id": 3, "content": "<s>", "special": true}]}
    """

  private static let linears = [
    "self_attn.q_proj": 128, "self_attn.k_proj": 64, "self_attn.v_proj": 64, "self_attn.o_proj": 128,
    "mlp.gate_proj": 128, "mlp.up_proj": 128, "mlp.down_proj": 128,
  ]

  /// The checkpoint, with one tensor more if that is asked for.
  func checkpoint(adding extra: TensorInfo? = nil) -> SampleCheckpoint {
    let prefix = "model.layers.0."
    let modules = Self.linears.keys.sorted().map { prefix + $0 }
    var sample = SampleCheckpoint(
      [TensorInfo(name: "model.embed_tokens.weight", dtype: .bf16, shape: [5, 128])]
        + [prefix + "input_layernorm", prefix + "post_attention_layernorm", "model.norm"].map {
          TensorInfo(name: $0 + ".weight", dtype: .bf16, shape: [128])
        }
        + modules.flatMap { module -> [TensorInfo] in
          let rows = Self.linears[String(module.dropFirst(prefix.count))] ?? 0
          return [
            TensorInfo(name: module + ".weight", dtype: .u32, shape: [rows, 128 * bits / 32]),
            TensorInfo(name: module + ".scales", dtype: tables, shape: [rows, 128 / groupSize]),
            TensorInfo(name: module + ".biases", dtype: tables, shape: [rows, 128 / groupSize]),
          ]
        } + (extra.map { [$0] } ?? []), seed: seed)
    var random = SplitMix64(seed: seed)
    for tensor in sample.contents.tensors where tensor.dtype == .bf16 && tensor.shape.last == 128 {
      sample.values[tensor.name] = narrowed(
        (0..<tensor.elementCount).map { _ in Float.random(in: -1...1, using: &random) }, to: .bf16)
    }
    for module in modules {
      sample.contents.quantization[module] = QuantizedLayout(bits: bits, groupSize: groupSize)
      fillTables(of: module, &sample, &random)
    }
    sample.setAsset(
      "config.json",
      #"{"num_attention_heads": 2, "num_key_value_heads": 1, "num_hidden_layers": 1, "vocab_size": 5}"#)
    sample.contents.metadata = .object([JSONValue.Member("note", .string("kept"))])
    return sample
  }

  /// Values of few digits, which every dtype holds.
  private func fillTables(
    of module: String, _ sample: inout SampleCheckpoint, _ random: inout SplitMix64
  ) {
    let count = (sample.values[module + ".scales"] ?? []).count / (tables.bitWidth / 8)
    func draw() -> Float { Float(Int.random(in: -100...100, using: &random)) / 1024 }
    var scales = (0..<count).map { _ in draw() }
    if let firstScale { scales[0] = firstScale }
    let biases = scales.map { bias?($0) ?? draw() }
    sample.values[module + ".scales"] = TensorBytes(scales, as: tables).array
    sample.values[module + ".biases"] = TensorBytes(biases, as: tables).array
  }

  /// What is to be written, without looking at values.
  static func plan(
    _ contents: CheckpointContents, _ model: GGUFExportModel? = nil
  ) throws -> GGUFExportPlan {
    try GGUFExportPlan(contents, try model ?? Self.model(), try vocabulary(), path: "out.gguf")
  }

  static func vocabulary(
    _ json: String = tokenizer, settings: String = #"{"bos_token": {"content": "<s>"}}"#, count: Int = 5,
    templates: [(name: String, text: String)] = []
  ) throws -> GGUFExportTokenizer {
    let settings = try JSONValue(parsing: Array(settings.utf8))
    return try GGUFExportTokenizer(
      tokenizer: JSONValue(parsing: Array(json.utf8)), settings: settings,
      configuration: .object([JSONValue.Member("eos_token_id", .array([.integer(2)]))]),
      templates: ChatTemplates(files: templates, settings: settings, path: "tokenizer_config.json"),
      vocabularySize: count, path: "out.gguf")
  }

  /// Writes the folder `model` and the file `out.gguf`.
  @discardableResult
  func write(to folder: TemporaryFolder, _ options: GGUFExportOptions = .init()) throws -> GGUFExport {
    let model = folder.path("model")
    try checkpoint().write(to: model)
    let opened = try Checkpoint.open(path: model)
    let export = try GGUFExport(Self.plan(opened.contents), opened, options)
    let writer = try GGUFWriter(export, path: folder.path("out.gguf"))
    for tensor in export.contents.tensors {
      try opened.bytes(of: tensor.name).withSpan { try writer.write(tensor, $0) }
    }
    _ = try writer.finish()
    return export
  }
}

/// Bytes written in hexadecimal, white space between them.
func bytes(_ hexadecimal: String) -> [UInt8] {
  hexadecimal.split(whereSeparator: \.isWhitespace).compactMap { UInt8($0, radix: 16) }
}
