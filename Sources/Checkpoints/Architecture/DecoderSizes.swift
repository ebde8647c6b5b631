package import Kernels

/// The hyperparameters that decoders of every family have.
package struct DecoderSizes: Sendable, Equatable {
  /// The width of the residual stream.
  package var hiddenSize: Int
  /// The width inside the feed-forward part.
  package var intermediateSize: Int
  /// The number of decoder layers.
  package var layerCount: Int
  /// The number of query heads.
  package var headCount: Int
  /// The number of key and value heads; divides `headCount`.
  package var keyValueHeadCount: Int
  /// The width of a head; even.
  package var headSize: Int
  /// The number of tokens in the vocabulary.
  package var vocabularySize: Int
  /// The longest sequence the model was made for.
  package var contextLength: Int
  /// Added to the mean square before taking its root.
  package var normEpsilon: Float
  /// The activation of the feed-forward part.
  package var activation: Activation
  /// Whether the output head is the embedding, according to the configuration.
  package var tiesEmbeddings: Bool

  /// The attention of a layer without differences.
  package var attention: AttentionDescription {
    AttentionDescription(headCount: headCount, keyValueHeadCount: keyValueHeadCount, headSize: headSize)
  }
  /// The residual stream.
  package var stream: ModelAxis { ModelAxis(.stream, hiddenSize) }
  /// The tokens.
  package var vocabulary: ModelAxis { ModelAxis(.vocabulary, vocabularySize) }
  /// The inside of the feed-forward part.
  package var feedForward: ModelAxis { ModelAxis(.feedForward, intermediateSize) }
}

/// What a family assumes if `config.json` lacks a key, and how it names keys that others name differently.
package struct FamilyDefaults: Sendable {
  /// The key of the norms' epsilon, and its value.
  package var epsilonKey = "rms_norm_eps"
  package var epsilon = 1e-6
  /// The key of the activation, and its value.
  package var activationKey = "hidden_act"
  package var activation = "silu"
  /// Keys of activations that the family does not read.
  package var ignoredActivationKeys: Set<String> = []
  /// The number of key and value heads; nil means as many as query heads.
  package var keyValueHeadCount: Int?
  /// The width of a head; nil means the stream's width over the heads.
  package var headSize: Int?
  /// Whether the output head is the embedding.
  package var tiesEmbeddings = false
  /// The keys that say so; the first one that is there counts.
  package var tieKeys = ["tie_word_embeddings"]
  /// Reads the width inside the feed-forward part, if it is not `intermediate_size`.
  package var intermediateSize: (@Sendable (ConfigurationKeys) throws(FormatError) -> Int)?
  /// The longest sequence.
  package var contextLength = 2048
  /// The base of the wavelengths.
  package var theta = 10_000.0

  /// The defaults of Llama.
  package init() {}
}

extension DecoderSizes {
  /// The maximum number of layers.
  static let layerLimit = 1 << 12
  /// The maximum number of heads.
  private static let headLimit = 1 << 16

  /// Reads the common keys of `config.json`.
  ///
  /// - Throws: `FormatError` with the key.
  init(_ keys: ConfigurationKeys, _ defaults: FamilyDefaults) throws(FormatError) {
    hiddenSize = try keys.size("hidden_size")
    if let ownSize = defaults.intermediateSize {
      intermediateSize = try ownSize(keys)
    } else {
      intermediateSize = try keys.size("intermediate_size")
    }
    layerCount = try keys.size("num_hidden_layers", limit: Self.layerLimit)
    headCount = try keys.size("num_attention_heads", limit: Self.headLimit)
    keyValueHeadCount = try Self.keyValueHeadCount(keys, defaults, headCount: headCount)
    headSize = try Self.headSize(keys, defaults, hiddenSize: hiddenSize, headCount: headCount)
    vocabularySize = try keys.size("vocab_size")
    contextLength = try keys.optionalSize("max_position_embeddings") ?? defaults.contextLength
    let epsilon = try keys.optionalNumber(defaults.epsilonKey) ?? defaults.epsilon
    guard epsilon > 0, epsilon < 1 else {
      throw keys.malformed(defaults.epsilonKey, "must be between 0 and 1")
    }
    normEpsilon = Float(epsilon)
    activation = try Self.activation(keys, defaults)
    let tieKey = defaults.tieKeys.first { keys.value($0) != nil } ?? defaults.tieKeys[0]
    tiesEmbeddings = try keys.optionalBool(tieKey) ?? defaults.tiesEmbeddings
  }

  private static func activation(
    _ keys: ConfigurationKeys, _ defaults: FamilyDefaults
  ) throws(FormatError) -> Activation {
    let name = try keys.optionalText(defaults.activationKey) ?? defaults.activation
    guard let activation = Activation(configurationName: name) else {
      throw keys.unsupported(defaults.activationKey, "activation '\(name)' is not supported")
    }
    for key in ["hidden_act", "hidden_activation"] where !defaults.ignoredActivationKeys.contains(key) {
      if let other = try keys.optionalText(key), Activation(configurationName: other) != activation {
        throw keys.unsupported(key, "activation '\(other)' is not supported")
      }
    }
    return activation
  }

  private static func keyValueHeadCount(
    _ keys: ConfigurationKeys, _ defaults: FamilyDefaults, headCount: Int
  ) throws(FormatError) -> Int {
    let name = "num_key_value_heads"
    // Null means as many as query heads; only a missing key leaves the choice to the family.
    let missing = keys.has(name) ? headCount : defaults.keyValueHeadCount ?? headCount
    let count = try keys.optionalSize(name, limit: headLimit) ?? missing
    guard headCount % count == 0 else {
      throw keys.malformed(name, "\(count) does not divide num_attention_heads, \(headCount)")
    }
    return count
  }

  private static func headSize(
    _ keys: ConfigurationKeys, _ defaults: FamilyDefaults, hiddenSize: Int, headCount: Int
  ) throws(FormatError) -> Int {
    let stated = try keys.optionalSize("head_dim") ?? (keys.has("head_dim") ? nil : defaults.headSize)
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

extension Activation {
  /// The activation of a name in `config.json`; nil for one that is not supported.
  init?(configurationName name: String) {
    switch name {
    case "silu", "swish": self = .silu
    case "gelu": self = .gelu
    case "gelu_pytorch_tanh", "gelu_new", "gelu_fast": self = .geluTanh
    default: return nil
    }
  }
}
