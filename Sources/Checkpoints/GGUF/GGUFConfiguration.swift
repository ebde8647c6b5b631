/// The hyperparameters of a model in a GGUF file, and the `config.json` made from them.
struct GGUFConfiguration {
  /// The supported families, one for each architecture.
  static let families: [ModelFamily] = [.llama]

  let family: ModelFamily
  /// The names of the tensors.
  let names: GGUFTensorNames
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

  /// Every key of the architecture that is understood; an unknown key could change what is computed.
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
  /// - Throws: `FormatError` with a key that is missing, malformed, or stands for a model of another kind.
  init(_ keys: GGUFKeys, frequencies: [Float]?) throws(FormatError) {
    family = try Self.family(keys)
    let architecture = family.ggufArchitecture
    layerCount = try keys.size("\(architecture).block_count")
    hiddenSize = try keys.size("\(architecture).embedding_length")
    intermediateSize = try keys.size("\(architecture).feed_forward_length")
    contextLength = try keys.size("\(architecture).context_length")
    headCount = try keys.size("\(architecture).attention.head_count")
    keyValueHeadCount = try keys.optionalSize("\(architecture).attention.head_count_kv") ?? headCount
    headSize = try Self.headSize(keys, architecture, hiddenSize: hiddenSize, headCount: headCount)
    let epsilon = "\(architecture).attention.layer_norm_rms_epsilon"
    guard let number = try keys.number(epsilon) else {
      throw FormatError(keys.path, .missing("key '\(epsilon)'"))
    }
    normEpsilon = number
    rotary = try GGUFRotary(keys, architecture, frequencies: frequencies, headSize: headSize)
    var tokens: [JSONValue.Member] = []
    for (name, key) in [("bos_token_id", "bos"), ("eos_token_id", "eos"), ("pad_token_id", "padding")] {
      guard let id = try keys.integer("tokenizer.ggml.\(key)_token_id") else { continue }
      tokens.append(JSONValue.Member(name, .integer(id)))
    }
    self.tokens = tokens
    names = GGUFTensorNames(
      try ModelConfiguration(
        .object([
          JSONValue.Member("model_type", .string(family.modelType)),
          JSONValue.Member("head_dim", .integer(headSize)),
          JSONValue.Member("hidden_size", .integer(hiddenSize)),
          JSONValue.Member("intermediate_size", .integer(intermediateSize)),
          JSONValue.Member("num_attention_heads", .integer(headCount)),
          JSONValue.Member("num_hidden_layers", .integer(layerCount)),
          JSONValue.Member("num_key_value_heads", .integer(keyValueHeadCount)),
          JSONValue.Member("vocab_size", .integer(1)),
        ]), path: keys.path))
  }

  /// The name of the embedding in the file.
  var embeddingName: String { names.embedding }

  /// The family of the file; refuses keys of the file that are not understood.
  private static func family(_ keys: GGUFKeys) throws(FormatError) -> ModelFamily {
    guard let architecture = try keys.string("general.architecture") else {
      throw FormatError(keys.path, .missing("key 'general.architecture'"))
    }
    guard let family = families.first(where: { $0.ggufArchitecture == architecture }) else {
      throw keys.error(
        "general.architecture",
        .unsupportedKind("architecture '\(architecture)'", supported: families.map(\.ggufArchitecture)))
    }
    if let type = try keys.string("general.type"), type != "model" {
      throw keys.error("general.type", .unsupported("'\(type)' is not a model"))
    }
    if let count = try keys.integer("split.count"), count > 1 {
      throw keys.error(
        "split.count", .unsupported("is one of \(count) files of a model, which are not supported"))
    }
    let prefix = architecture + "."
    for key in keys.metadata.keys where key.hasPrefix(prefix) {
      guard knownKeys.contains(String(key.dropFirst(prefix.count))) else {
        throw keys.error(key, .unsupported("a model with this key is not supported"))
      }
    }
    if let count = try keys.integer(prefix + "expert_count"), count > 0 {
      throw keys.error(prefix + "expert_count", .unsupportedKind("a mixture of \(count) experts"))
    }
    let layout = prefix + "tensor_data_layout"
    if let text = try keys.string(layout), text != "Meta AI original pth" {
      throw keys.error(layout, .unsupportedKind("layout '\(text)'"))
    }
    return family
  }

  private static func headSize(
    _ keys: GGUFKeys, _ architecture: String, hiddenSize: Int, headCount: Int
  ) throws(FormatError) -> Int {
    let size: Int
    if let stated = try keys.optionalSize("\(architecture).attention.key_length") {
      size = stated
    } else {
      guard hiddenSize % headCount == 0 else {
        throw keys.error(
          "\(architecture).attention.head_count",
          .malformed("\(headCount) does not divide the width \(hiddenSize)"))
      }
      size = hiddenSize / headCount
    }
    for key in ["\(architecture).attention.value_length", "\(architecture).rope.dimension_count"] {
      if let other = try keys.optionalSize(key), other != size {
        throw keys.error(key, .unsupported("is \(other), but the width of a head is \(size)"))
      }
    }
    guard size % 2 == 0 else {
      throw keys.error(
        "\(architecture).attention.head_count", .malformed("the width of a head, \(size), is odd"))
    }
    return size
  }

  /// Makes the contents of `config.json`.
  ///
  /// - Parameters:
  ///   - dtype: The dtype of the matrices.
  ///   - tensors: The tensors of the checkpoint.
  ///   - vocabularySize: The rows of the embedding.
  /// - Returns: The document, keys sorted.
  func json(dtype: DType, tensors: [TensorInfo], vocabularySize: Int) -> JSONValue {
    let names = Set(tensors.map(\.name))
    /// Whether the linears of a group have biases; either all layers have them or none.
    func hasBias(_ group: LinearGroupKind) -> JSONValue {
      let layer = "\(family.prefixes[0])\(family.layers.module).0."
      return .bool(
        self.names.linears(of: group).contains { names.contains(ModuleTensor.bias.name(of: layer + $0)) })
    }
    let dtypeName = dtype.configurationName ?? "bfloat16"
    var members =
      tokens + rotary.members + [
        JSONValue.Member("architectures", .array([.string(family.className)])),
        JSONValue.Member("attention_bias", hasBias(.queriesKeysValues)),
        JSONValue.Member("head_dim", .integer(headSize)),
        JSONValue.Member("hidden_act", .string("silu")),
        JSONValue.Member("hidden_size", .integer(hiddenSize)),
        JSONValue.Member("intermediate_size", .integer(intermediateSize)),
        JSONValue.Member("max_position_embeddings", .integer(contextLength)),
        JSONValue.Member("mlp_bias", hasBias(.gateAndUp)),
        JSONValue.Member("model_type", .string(family.modelType)),
        JSONValue.Member("num_attention_heads", .integer(headCount)),
        JSONValue.Member("num_hidden_layers", .integer(layerCount)),
        JSONValue.Member("num_key_value_heads", .integer(keyValueHeadCount)),
        JSONValue.Member("rms_norm_eps", normEpsilon),
        JSONValue.Member(
          "tie_word_embeddings", .bool(!tensors.contains { $0.name.hasPrefix(self.names.head + ".") })),
        JSONValue.Member("torch_dtype", .string(dtypeName)),
        JSONValue.Member("vocab_size", .integer(vocabularySize)),
      ]
    members.sort { precedes($0.key, $1.key) }
    return .object(members)
  }
}
