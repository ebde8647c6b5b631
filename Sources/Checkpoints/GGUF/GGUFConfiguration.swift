/// The hyperparameters of architecture `llama`, and the `config.json` made from them.
struct GGUFConfiguration {
  static let architecture = "llama"

  let layerCount: Int
  let headCount: Int
  let keyValueHeadCount: Int
  let headSize: Int
  private let hiddenSize: Int
  private let intermediateSize: Int
  private let contextLength: Int
  private let normEpsilon: JSONValue
  private let rotary: GGUFRotary
  private let tokens: [JSONValue.Member]

  /// Every key of the architecture that is understood; another one might mean that something else is computed.
  private static let knownKeys: Set = [
    "block_count", "context_length", "embedding_length", "feed_forward_length", "vocab_size", "expert_count",
    "expert_used_count", "tensor_data_layout", "attention.head_count", "attention.head_count_kv",
    "attention.key_length", "attention.value_length", "attention.layer_norm_rms_epsilon",
    "rope.dimension_count",
    "rope.freq_base", "rope.scale_linear", "rope.scaling.type", "rope.scaling.factor",
    "rope.scaling.original_context_length", "rope.scaling.finetuned",
  ]

  /// Reads the keys.
  ///
  /// - Throws: `FormatError` with the key: one that is missing, malformed, or stands for a model of another kind.
  init(_ keys: GGUFKeys, frequencies: [Float]?) throws(FormatError) {
    try Self.checkKind(keys)
    layerCount = try keys.size("llama.block_count")
    hiddenSize = try keys.size("llama.embedding_length")
    intermediateSize = try keys.size("llama.feed_forward_length")
    contextLength = try keys.size("llama.context_length")
    headCount = try keys.size("llama.attention.head_count")
    keyValueHeadCount = try keys.optionalSize("llama.attention.head_count_kv") ?? headCount
    headSize = try Self.headSize(keys, hiddenSize: hiddenSize, headCount: headCount)
    let epsilon = "llama.attention.layer_norm_rms_epsilon"
    guard let number = try keys.number(epsilon) else {
      throw FormatError(keys.path, .missing("key '\(epsilon)'"))
    }
    normEpsilon = number
    rotary = try GGUFRotary(keys, frequencies: frequencies, headSize: headSize)
    var tokens: [JSONValue.Member] = []
    for (name, key) in [("bos_token_id", "bos"), ("eos_token_id", "eos"), ("pad_token_id", "padding")] {
      guard let id = try keys.integer("tokenizer.ggml.\(key)_token_id") else { continue }
      tokens.append(JSONValue.Member(name, .integer(id)))
    }
    self.tokens = tokens
  }

  private static func checkKind(_ keys: GGUFKeys) throws(FormatError) {
    guard let architecture = try keys.string("general.architecture") else {
      throw FormatError(keys.path, .missing("key 'general.architecture'"))
    }
    guard architecture == Self.architecture else {
      throw keys.error(
        "general.architecture", .unsupportedKind("architecture '\(architecture)'", supported: ["llama"]))
    }
    if let type = try keys.string("general.type"), type != "model" {
      throw keys.error("general.type", .unsupported("'\(type)' is no model"))
    }
    if let count = try keys.integer("split.count"), count > 1 {
      throw keys.error(
        "split.count", .unsupported("is one of \(count) files of a model, which are not supported"))
    }
    for key in keys.metadata.keys where key.hasPrefix("llama.") {
      guard knownKeys.contains(String(key.dropFirst("llama.".count))) else {
        throw keys.error(key, .unsupported("a model with this key is of a kind that is not read"))
      }
    }
    if let count = try keys.integer("llama.expert_count"), count > 0 {
      throw keys.error("llama.expert_count", .unsupportedKind("a mixture of \(count) experts"))
    }
    let layout = "llama.tensor_data_layout"
    if let text = try keys.string(layout), text != "Meta AI original pth" {
      throw keys.error(layout, .unsupportedKind("layout '\(text)'"))
    }
  }

  private static func headSize(
    _ keys: GGUFKeys, hiddenSize: Int, headCount: Int
  ) throws(FormatError) -> Int {
    let size: Int
    if let stated = try keys.optionalSize("llama.attention.key_length") {
      size = stated
    } else {
      guard hiddenSize % headCount == 0 else {
        throw keys.error(
          "llama.attention.head_count", .malformed("\(headCount) does not divide the width \(hiddenSize)"))
      }
      size = hiddenSize / headCount
    }
    for key in ["llama.attention.value_length", "llama.rope.dimension_count"] {
      if let other = try keys.optionalSize(key), other != size {
        throw keys.error(key, .unsupported("is \(other), but the width of a head is \(size)"))
      }
    }
    guard size % 2 == 0 else {
      throw keys.error("llama.attention.head_count", .malformed("the width of a head, \(size), is odd"))
    }
    return size
  }

  /// The document.
  ///
  /// - Parameters:
  ///   - dtype: That of the matrices.
  ///   - tensors: Those of the checkpoint.
  ///   - vocabularySize: The rows of the embedding.
  /// - Returns: The contents of `config.json`, keys sorted.
  func json(dtype: DType, tensors: [TensorInfo], vocabularySize: Int) -> JSONValue {
    let names = Set(tensors.map(\.name))
    func has(_ name: String) -> JSONValue { .bool(names.contains(name)) }
    let dtypeName = dtype.configurationName ?? "bfloat16"
    var members =
      tokens + rotary.members + [
        JSONValue.Member("architectures", .array([.string("LlamaForCausalLM")])),
        JSONValue.Member("attention_bias", has("model.layers.0.self_attn.q_proj.bias")),
        JSONValue.Member("head_dim", .integer(headSize)),
        JSONValue.Member("hidden_act", .string("silu")),
        JSONValue.Member("hidden_size", .integer(hiddenSize)),
        JSONValue.Member("intermediate_size", .integer(intermediateSize)),
        JSONValue.Member("max_position_embeddings", .integer(contextLength)),
        JSONValue.Member("mlp_bias", has("model.layers.0.mlp.up_proj.bias")),
        JSONValue.Member("model_type", .string("llama")),
        JSONValue.Member("num_attention_heads", .integer(headCount)),
        JSONValue.Member("num_hidden_layers", .integer(layerCount)),
        JSONValue.Member("num_key_value_heads", .integer(keyValueHeadCount)),
        JSONValue.Member("rms_norm_eps", normEpsilon),
        JSONValue.Member("tie_word_embeddings", .bool(!tensors.contains { $0.name.hasPrefix("lm_head.") })),
        JSONValue.Member("torch_dtype", .string(dtypeName)),
        JSONValue.Member("vocab_size", .integer(vocabularySize)),
      ]
    members.sort { precedes($0.key, $1.key) }
    return .object(members)
  }
}
