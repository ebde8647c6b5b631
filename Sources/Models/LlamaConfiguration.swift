public import Checkpoints

/// The hyperparameters of a model of the Llama family, as in `config.json`.
public struct LlamaConfiguration: Sendable, Equatable {
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
  /// The number of tokens known.
  public let vocabularySize: Int
  /// The longest sequence the model was made for.
  public let contextLength: Int
  /// What is added to the mean square before its root.
  public let normEpsilon: Float
  /// Whether the output head is the embedding.
  public let tiesEmbeddings: Bool
  /// How positions turn queries and keys.
  public let rotary: RotaryParameters
  /// The token before a text, if the model has one.
  public let beginToken: Int?
  /// The tokens that end a text.
  public let endTokens: [Int]
}

extension LlamaConfiguration {
  /// The weights of one layer's linears.
  package var layerWeightCount: Int {
    let attention = (2 * headCount + 2 * keyValueHeadCount) * headSize
    return hiddenSize * (attention + 3 * intermediateSize)
  }
}

/// The parameters of the rotary position embedding.
public struct RotaryParameters: Sendable, Equatable {
  /// The base of the wavelengths.
  public let theta: Double
  /// How wavelengths are stretched, if they are.
  public let scaling: Scaling?

  /// A stretching of the wavelengths.
  public enum Scaling: Sendable, Equatable {
    /// Every frequency is divided by the factor.
    case linear(factor: Double)
    /// Llama 3.1: low frequencies are divided by the factor, high ones kept, those between blended.
    case llama3(factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalContext: Int)
  }
}

extension LlamaConfiguration {
  /// Reads the configuration of a checkpoint.
  ///
  /// - Throws: `FormatError` when `config.json` is missing, malformed, or describes another architecture.
  public init(of checkpoint: Checkpoint) throws {
    guard let bytes = try checkpoint.asset(named: "config.json") else {
      throw FormatError(checkpoint.path, .missing("config.json"))
    }
    let path = checkpoint.path + "/config.json"
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
  ///   - path: What errors name.
  /// - Throws: `FormatError` with the key.
  public init(_ json: JSONValue, path: String) throws {
    let keys = ConfigurationKeys(json: json, path: path)
    guard json.object != nil else {
      throw FormatError(path, .malformed("the configuration is not an object"))
    }
    try keys.requireSupportedArchitecture()
    hiddenSize = try keys.size("hidden_size")
    intermediateSize = try keys.size("intermediate_size")
    layerCount = try keys.size("num_hidden_layers")
    headCount = try keys.size("num_attention_heads")
    keyValueHeadCount = try keys.optionalSize("num_key_value_heads") ?? headCount
    guard headCount % keyValueHeadCount == 0 else {
      throw keys.malformed(
        "num_key_value_heads", "\(keyValueHeadCount) does not divide num_attention_heads, \(headCount)")
    }
    if let size = try keys.optionalSize("head_dim") {
      headSize = size
    } else {
      guard hiddenSize % headCount == 0 else {
        throw keys.malformed("num_attention_heads", "\(headCount) does not divide hidden_size, \(hiddenSize)")
      }
      headSize = hiddenSize / headCount
    }
    guard headSize % 2 == 0 else { throw keys.malformed("head_dim", "\(headSize) is odd") }
    vocabularySize = try keys.size("vocab_size")
    contextLength = try keys.optionalSize("max_position_embeddings") ?? 2048
    let epsilon = try keys.optionalNumber("rms_norm_eps") ?? 1e-6
    guard epsilon > 0, epsilon < 1 else { throw keys.malformed("rms_norm_eps", "must be between 0 and 1") }
    normEpsilon = Float(epsilon)
    tiesEmbeddings = try keys.optionalBool("tie_word_embeddings") ?? false
    rotary = try RotaryParameters(keys)
    beginToken = try keys.tokens("bos_token_id").first
    endTokens = try keys.tokens("eos_token_id")
  }
}

extension RotaryParameters {
  /// Reads `rope_parameters` (transformers 5) or `rope_theta` and `rope_scaling`.
  fileprivate init(_ keys: ConfigurationKeys) throws {
    let nested = try keys.optionalObject("rope_parameters")
    let scaling = try nested ?? keys.optionalObject("rope_scaling")
    let name = nested == nil ? "rope_scaling" : "rope_parameters"
    let inner = ConfigurationKeys(json: scaling ?? .object([]), path: keys.path, prefix: name + ".")
    let base = try inner.optionalNumber("rope_theta") ?? keys.optionalNumber("rope_theta") ?? 10_000
    guard base > 1, base.isFinite else { throw keys.malformed("rope_theta", "must be more than 1") }
    theta = base
    guard scaling != nil else {
      self.scaling = nil
      return
    }
    let kind = try inner.optionalText("rope_type") ?? inner.optionalText("type") ?? "default"
    switch kind {
    case "default": self.scaling = nil
    case "linear": self.scaling = .linear(factor: try inner.factor("factor"))
    case "llama3":
      let low = try inner.factor("low_freq_factor")
      let high = try inner.factor("high_freq_factor")
      guard low < high else {
        throw inner.malformed("high_freq_factor", "must be more than low_freq_factor, \(low)")
      }
      self.scaling = .llama3(
        factor: try inner.factor("factor"), lowFrequencyFactor: low, highFrequencyFactor: high,
        originalContext: try inner.size("original_max_position_embeddings"))
    default:
      throw FormatError(
        keys.path, at: "key '\(name).rope_type'", .unsupported("rope type '\(kind)' is not supported"))
    }
  }
}

/// Typed access to the keys of one JSON object, with errors that name the key.
struct ConfigurationKeys {
  /// No size in a configuration is larger: keeps every product of two sizes far inside 64 bits.
  private static let sizeLimit = 1 << 24
  let json: JSONValue
  let path: String
  var prefix = ""

  func malformed(_ key: String, _ reason: String) -> FormatError {
    FormatError(path, at: "key '\(prefix)\(key)'", .malformed(reason))
  }

  private func value(_ key: String) -> JSONValue? {
    json[key].flatMap { $0.isNull ? nil : $0 }
  }

  func optionalSize(_ key: String) throws -> Int? {
    guard let value = value(key) else { return nil }
    guard let size = value.integer, size > 0, size <= Self.sizeLimit else {
      throw malformed(key, "must be a whole number from 1 to \(Self.sizeLimit)")
    }
    return size
  }

  func size(_ key: String) throws -> Int {
    guard let size = try optionalSize(key) else { throw FormatError(path, .missing("key '\(prefix)\(key)'")) }
    return size
  }

  func optionalNumber(_ key: String) throws -> Double? {
    guard let value = value(key) else { return nil }
    guard let number = value.double, number.isFinite else { throw malformed(key, "must be a number") }
    return number
  }

  func factor(_ key: String) throws -> Double {
    guard let factor = try optionalNumber(key), factor > 0 else {
      throw malformed(key, "must be a positive number")
    }
    return factor
  }

  func optionalBool(_ key: String) throws -> Bool? {
    guard let value = value(key) else { return nil }
    guard let bool = value.bool else { throw malformed(key, "must be true or false") }
    return bool
  }

  func optionalText(_ key: String) throws -> String? {
    guard let value = value(key) else { return nil }
    guard let text = value.string else { throw malformed(key, "must be a text") }
    return text
  }

  func optionalObject(_ key: String) throws -> JSONValue? {
    guard let value = value(key) else { return nil }
    guard value.object != nil else { throw malformed(key, "must be an object") }
    return value
  }

  func tokens(_ key: String) throws -> [Int] {
    guard let value = value(key) else { return [] }
    let list = value.array ?? [value]
    return try list.map {
      guard let id = $0.integer, id >= 0 else { throw malformed(key, "must be a token id") }
      return id
    }
  }

  /// Refuses whatever would be computed differently from plain Llama.
  func requireSupportedArchitecture() throws {
    let type = try optionalText("model_type") ?? "llama"
    guard type == "llama" || type == "mistral" else {
      throw FormatError(path, at: "key 'model_type'", .unsupported("model type '\(type)' is not supported"))
    }
    let activation = try optionalText("hidden_act") ?? "silu"
    guard activation == "silu" else {
      throw FormatError(
        path, at: "key 'hidden_act'", .unsupported("activation '\(activation)' is not supported"))
    }
    for key in ["attention_bias", "mlp_bias"] where try optionalBool(key) == true {
      throw FormatError(path, at: "key '\(key)'", .unsupported("linears with a bias are not supported"))
    }
    if type == "mistral", value("sliding_window") != nil {
      throw FormatError(path, at: "key 'sliding_window'", .unsupported("a sliding window is not supported"))
    }
  }
}
