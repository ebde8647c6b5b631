/// The hyperparameters of a model, as in `config.json`.
public struct ModelConfiguration: Sendable, Equatable {
  /// The family, which determines the computation and the names of the tensors.
  package let family: ModelFamily
  /// The hyperparameters that every decoder has.
  package let sizes: DecoderSizes
  /// The computation and the names of the tensors.
  package let description: ModelDescription
  /// The beginning-of-text token, if the model has one.
  public let beginToken: Int?
  /// The end-of-text tokens.
  public let endTokens: [Int]
  /// Notices about keys that contradict each other, one sentence each.
  public let notices: [String]
  /// Whether the model is the text part of a larger one, whose `text_config` describes it.
  package let isNested: Bool

  /// The width of the residual stream.
  public var hiddenSize: Int { sizes.hiddenSize }
  /// The width inside the feed-forward part.
  public var intermediateSize: Int { sizes.intermediateSize }
  /// The number of decoder layers.
  public var layerCount: Int { sizes.layerCount }
  /// The number of query heads.
  public var headCount: Int { sizes.headCount }
  /// The number of key and value heads; divides `headCount`.
  public var keyValueHeadCount: Int { sizes.keyValueHeadCount }
  /// The width of a head; even.
  public var headSize: Int { sizes.headSize }
  /// The number of tokens in the vocabulary.
  public var vocabularySize: Int { sizes.vocabularySize }
  /// The longest sequence the model was made for.
  public var contextLength: Int { sizes.contextLength }
  /// Added to the mean square before taking its root.
  public var normEpsilon: Float { sizes.normEpsilon }
  /// Whether the configuration says that the output head is the embedding; a head in the checkpoint takes
  /// precedence.
  public var tiesEmbeddings: Bool { sizes.tiesEmbeddings }
}

extension ModelConfiguration {
  /// The file of a checkpoint that has the hyperparameters.
  package static let fileName = "config.json"

  /// The number of weights in the largest layer's linears.
  package var layerWeightCount: Int {
    description.layers.map { layer in
      layer.entries.reduce(0) { sum, entry in
        entry.group == nil ? sum : sum + entry.slot.shape.reduce(1, *)
      }
    }.max() ?? 0
  }

  /// The longest sequence that the model computes: its context, times the factor of wavelengths that grow with
  /// the sequence.
  package var longestSequence: Int {
    let factors = rotaryDescriptions.compactMap {
      if case .dynamic(let dynamic) = $0.parameters.scaling { dynamic.factor } else { nil }
    }
    let length = Double(contextLength) * max(factors.max() ?? 1, 1)
    return Int(min(length, Double(ConfigurationKeys.sizeLimit)))
  }

  /// The wavelengths of the layers, each once.
  package var rotaryDescriptions: [RotaryDescription] {
    var found: [RotaryDescription] = []
    for layer in description.layers {
      for part in layer.parts {
        for case .rotary(let rotary) in part.operations where !found.contains(rotary) { found.append(rotary) }
      }
    }
    return found
  }

  /// Whether sequences of two lengths turn their queries and keys differently.
  package func turns(ofLength length: Int, differFrom other: Int) -> Bool {
    rotaryDescriptions.contains { $0.parameters.changes(between: length, other) }
  }

  /// Whether the length of a sequence up to a maximum decides how queries and keys turn.
  package func turnsByLength(upTo length: Int) -> Bool { turns(ofLength: 1, differFrom: length) }

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
    guard json.object != nil else {
      throw FormatError(path, .malformed("the configuration is not an object"))
    }
    let (family, keys) = try Self.family(ConfigurationKeys(json: json, path: path))
    try keys.refuseMeaningfulKeys(
      understood: family.understoodKeys.union(["rope_scaling"]), ignored: family.ignoredKeys)
    self.family = family
    isNested = !keys.prefix.isEmpty
    sizes = try DecoderSizes(keys, family.defaults)
    description = try family.describe(sizes, keys)
    beginToken = try keys.tokens("bos_token_id").first
    endTokens = try keys.tokens("eos_token_id")
    notices = RotaryParameters.notices(keys)
  }

  /// Finds the family, and the keys that describe the model: all of them, or those of the text part.
  ///
  /// - Throws: `FormatError` when the family is not supported.
  private static func family(
    _ keys: ConfigurationKeys
  ) throws(FormatError) -> (ModelFamily, ConfigurationKeys) {
    let type = try keys.optionalText("model_type") ?? ModelFamily.llama.modelType
    if let family = ModelFamily.named(type) { return (family, keys) }
    guard let text = try keys.optionalObject("text_config") else {
      throw keys.unsupported("model_type", "model type '\(type)' is not supported")
    }
    let inner = ConfigurationKeys(
      json: text.inheriting(
        ["tie_word_embeddings", "bos_token_id", "eos_token_id"] + ConfigurationKeys.placeholderKeys,
        from: keys.json),
      path: keys.path, prefix: "text_config.")
    let innerType =
      try inner.optionalText("model_type")
      ?? ModelFamily.all.first { $0.wrappers.contains(type) }?.modelType ?? type
    guard let family = ModelFamily.named(innerType) else {
      throw inner.unsupported("model_type", "model type '\(innerType)' is not supported")
    }
    return (family, inner)
  }
}

extension JSONValue {
  /// The object with some members of another one, where it lacks them.
  fileprivate func inheriting(_ keys: [String], from outer: JSONValue) -> JSONValue {
    var result = self
    for key in keys {
      if result[key] == nil, let value = outer[key] { result.set(key, to: value) }
    }
    return result
  }
}
