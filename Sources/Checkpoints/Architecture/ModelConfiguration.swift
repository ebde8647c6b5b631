/// The hyperparameters of a model, as in `config.json`.
public struct ModelConfiguration: Sendable, Equatable {
  /// The family, which determines the computation and the names of the tensors.
  package let family: ModelFamily
  /// The width of the residual stream.
  public let hiddenSize: Int
  /// The width inside the feed-forward part.
  public let intermediateSize: Int
  /// The number of decoder layers.
  public let layerCount: Int
  /// The number of query heads.
  public let headCount: Int
  /// The number of key and value heads; divides `headCount`.
  public let keyValueHeadCount: Int
  /// The width of a head; even.
  public let headSize: Int
  /// The number of tokens in the vocabulary.
  public let vocabularySize: Int
  /// The longest sequence the model was made for.
  public let contextLength: Int
  /// Added to the mean square before taking its root.
  public let normEpsilon: Float
  /// Whether the configuration says that the output head is the embedding; a head in the checkpoint takes
  /// precedence.
  public let tiesEmbeddings: Bool
  /// The parameters of the rotary position embedding.
  public let rotary: RotaryParameters
  /// The beginning-of-text token, if the model has one.
  public let beginToken: Int?
  /// The end-of-text tokens.
  public let endTokens: [Int]
  /// Notices about keys that contradict each other, one sentence each.
  public let notices: [String]
}

extension ModelConfiguration {
  /// The maximum number of layers.
  private static let layerLimit = 1 << 12
  /// The maximum number of heads.
  private static let headLimit = 1 << 16
  /// The file of a checkpoint that has the hyperparameters.
  package static let fileName = "config.json"

  /// The number of weights in one layer's linears.
  package var layerWeightCount: Int {
    family.layer.entries.reduce(0) { sum, entry in
      entry.group == nil ? sum : sum + entry.slot.axes.map(size(of:)).reduce(1, *)
    }
  }

  /// Reads the configuration of a checkpoint.
  ///
  /// - Throws: `FormatError` when `config.json` is missing, malformed, or describes another architecture.
  public init(of checkpoint: Checkpoint) throws {
    guard let bytes = try checkpoint.asset(named: Self.fileName) else {
      throw FormatError(checkpoint.path, .missing(Self.fileName))
    }
    let path = checkpoint.path + "/" + Self.fileName
    do {
      let json = try bytes.withSpan { span throws(JSONError) in try JSONValue(parsing: span) }
      try self.init(json, path: path)
    } catch let error as JSONError {
      throw FormatError(path, byte: error.byteOffset, .malformed(error.reason))
    }
  }

  /// Reads a configuration.
  ///
  /// - Parameters:
  ///   - json: The contents of `config.json`.
  ///   - path: The path for errors.
  /// - Throws: `FormatError` with the key.
  public init(_ json: JSONValue, path: String) throws(FormatError) {
    let keys = ConfigurationKeys(json: json, path: path)
    guard json.object != nil else {
      throw FormatError(path, .malformed("the configuration is not an object"))
    }
    family = try Self.family(keys)
    hiddenSize = try keys.size("hidden_size")
    intermediateSize = try keys.size("intermediate_size")
    layerCount = try keys.size("num_hidden_layers", limit: Self.layerLimit)
    headCount = try keys.size("num_attention_heads", limit: Self.headLimit)
    keyValueHeadCount = try Self.keyValueHeadCount(keys, family, headCount: headCount)
    headSize = try Self.headSize(keys, hiddenSize: hiddenSize, headCount: headCount)
    vocabularySize = try keys.size("vocab_size")
    contextLength = try keys.optionalSize("max_position_embeddings") ?? 2048
    let epsilon = try keys.optionalNumber("rms_norm_eps") ?? 1e-6
    guard epsilon > 0, epsilon < 1 else { throw keys.malformed("rms_norm_eps", "must be between 0 and 1") }
    normEpsilon = Float(epsilon)
    tiesEmbeddings = try keys.optionalBool("tie_word_embeddings") ?? false
    rotary = try RotaryParameters(keys, contextLength: contextLength, turnedCount: headSize)
    beginToken = try keys.tokens("bos_token_id").first
    endTokens = try keys.tokens("eos_token_id")
    notices = RotaryParameters.notices(keys)
  }

  /// Reads the family, and refuses models that compute anything it does not describe.
  private static func family(_ keys: ConfigurationKeys) throws(FormatError) -> ModelFamily {
    let type = try keys.optionalText("model_type") ?? ModelFamily.llama.modelType
    guard let family = ModelFamily.named(type) else {
      throw keys.unsupported("model_type", "model type '\(type)' is not supported")
    }
    for key in ["hidden_act", "hidden_activation"] {
      if let activation = try keys.optionalText(key), activation != "silu" {
        throw keys.unsupported(key, "activation '\(activation)' is not supported")
      }
    }
    try keys.refuseMeaningfulKeys(understood: ["rope_scaling"], ignored: family.ignoredKeys)
    return family
  }

  private static func keyValueHeadCount(
    _ keys: ConfigurationKeys, _ family: ModelFamily, headCount: Int
  ) throws(FormatError) -> Int {
    let name = "num_key_value_heads"
    // Null means as many as query heads; only a missing key leaves the choice to the family.
    let missing = keys.has(name) ? headCount : family.defaultKeyValueHeadCount ?? headCount
    let count = try keys.optionalSize(name, limit: headLimit) ?? missing
    guard headCount % count == 0 else {
      throw keys.malformed(name, "\(count) does not divide num_attention_heads, \(headCount)")
    }
    return count
  }

  private static func headSize(
    _ keys: ConfigurationKeys, hiddenSize: Int, headCount: Int
  ) throws(FormatError) -> Int {
    let stated = try keys.optionalSize("head_dim")
    guard stated != nil || hiddenSize % headCount == 0 else {
      throw keys.malformed("num_attention_heads", "\(headCount) does not divide hidden_size, \(hiddenSize)")
    }
    let size = stated ?? hiddenSize / headCount
    guard size % 2 == 0 else { throw keys.malformed("head_dim", "\(size) is odd") }
    guard size * headCount <= ConfigurationKeys.sizeLimit else {
      throw keys.malformed(
        "head_dim", "\(headCount) heads of \(size) are wider than \(ConfigurationKeys.sizeLimit)")
    }
    return size
  }
}
