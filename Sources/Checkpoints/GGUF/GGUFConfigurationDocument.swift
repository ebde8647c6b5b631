/// The `config.json` of a GGUF file, in the spelling of published checkpoints.
struct GGUFConfigurationDocument {
  let keys: GGUFKeys
  let family: ModelFamily
  /// The shapes of the file's tensors, by their names.
  let tensorShapes: [String: [Int]]
  /// The values of the tensors that stand for the scaling of the wavelengths, by their names.
  let divisors: [String: [Float]]

  private var conventions: GGUFConventions { family.gguf }

  private func key(_ name: String) -> String { "\(family.ggufArchitecture).\(name)" }

  /// Makes the document.
  ///
  /// - Parameters:
  ///   - dtype: The dtype of the matrices.
  ///   - vocabularySize: The rows of the embedding.
  /// - Returns: The document, keys sorted.
  /// - Throws: `FormatError` with a key that is missing, malformed or cannot be expressed.
  func json(dtype: DType, vocabularySize: Int) throws(FormatError) -> JSONValue {
    let sizes = try GGUFHeadSizes(keys, family)
    var members = try sizeMembers(sizes) + tokenMembers() + windowMembers(layerCount: sizes.layerCount)
    members += try numberMembers(sizes) + conventions.fixedMembers
    members += try GGUFRotary(keys, family, sizes, divisors: divisors).members
    members += biasMembers
    members += [
      JSONValue.Member("architectures", .array([.string(family.className)])),
      JSONValue.Member("model_type", .string(family.modelType)),
      JSONValue.Member("tie_word_embeddings", .bool(tensorShapes[GGUFTensorNames.head] == nil)),
      JSONValue.Member("torch_dtype", .string(dtype.configurationName ?? "bfloat16")),
      JSONValue.Member("vocab_size", .integer(vocabularySize)),
    ]
    let reader = GGUFModelReader(
      keys: keys, family: family, sizes: sizes, tensorShapes: tensorShapes, divisors: divisors)
    for own in conventions.ownKeys {
      let replacing = try own.read(reader)
      let replaced = own.replaced.union(replacing.map(\.key))
      members.removeAll { replaced.contains($0.key) }
      members += replacing
    }
    members.sort { precedes($0.key, $1.key) }
    return .object(members)
  }

  private func sizeMembers(_ sizes: GGUFHeadSizes) throws(FormatError) -> [JSONValue.Member] {
    let defaults = family.defaults
    var members = [
      JSONValue.Member(defaults.activationKey, .string(defaults.activation)),
      JSONValue.Member("head_dim", .integer(sizes.headSize)),
      JSONValue.Member("hidden_size", .integer(sizes.hiddenSize)),
      JSONValue.Member("max_position_embeddings", .integer(try keys.size(key("context_length")))),
      JSONValue.Member("num_attention_heads", .integer(sizes.headCount)),
      JSONValue.Member("num_hidden_layers", .integer(sizes.layerCount)),
      JSONValue.Member("num_key_value_heads", .integer(sizes.keyValueHeadCount)),
      JSONValue.Member(defaults.epsilonKey, try epsilon()),
    ]
    if let width = try intermediateSize(sizes) {
      members.append(JSONValue.Member("intermediate_size", .integer(width)))
    }
    if conventions.statesParallelParts {
      let isParallel = try keys.bool(key(GGUFKeyNames.parallel)) ?? true
      members.append(JSONValue.Member("use_parallel_residual", .bool(isParallel)))
    }
    return members
  }

  /// The width inside the feed-forward part of the first layer; nil if the file states only that of experts.
  private func intermediateSize(_ sizes: GGUFHeadSizes) throws(FormatError) -> Int? {
    let name = key(GGUFKeyNames.feedForwardLength)
    if conventions.listedSizes.contains(GGUFKeyNames.feedForwardLength) {
      return try keys.sizes(name, layerCount: sizes.layerCount)?.first
    }
    return conventions.holdsExperts ? try keys.optionalSize(name) : try keys.size(name)
  }

  /// The epsilon of the norms; which of two keys has it depends on their kind.
  private func epsilon() throws(FormatError) -> JSONValue {
    let name = key(GGUFKeyNames.epsilon(conventions.normKind))
    guard let number = try keys.number(name) else { throw FormatError(keys.path, .missing("key '\(name)'")) }
    return number
  }

  private func tokenMembers() throws(FormatError) -> [JSONValue.Member] {
    var tokens: [JSONValue.Member] = []
    for (name, key) in [("bos_token_id", "bos"), ("eos_token_id", "eos"), ("pad_token_id", "padding")] {
      let source = "tokenizer.ggml.\(key)_token_id"
      guard let id = try keys.integer(source) else { continue }
      guard id >= 0 else { throw keys.error(source, .malformed("token \(id) does not exist")) }
      tokens.append(JSONValue.Member(name, .integer(id)))
    }
    return tokens
  }

  /// `sliding_window`, and `layer_types` where the file lists the layers.
  private func windowMembers(layerCount: Int) throws(FormatError) -> [JSONValue.Member] {
    let name = key(GGUFKeyNames.window)
    guard conventions.windows != .ignored else {
      guard conventions.statesIgnoredWindow else { return [] }
      let window = try keys.integer(name) ?? 0
      return [JSONValue.Member("sliding_window", window > 0 ? .integer(window) : .null)]
    }
    var members = [JSONValue.Member("sliding_window", .integer(try keys.size(name)))]
    guard conventions.windows == .listed else { return members }
    let list = key(GGUFKeyNames.windowList)
    guard let windowed = try keys.bools(list) else {
      throw FormatError(keys.path, .missing("key '\(list)'"))
    }
    guard windowed.count == layerCount else {
      throw keys.error(list, .malformed("has \(windowed.count) values for \(layerCount) layers"))
    }
    members.append(
      JSONValue.Member(
        "layer_types",
        .array(windowed.map { .string($0 ? "sliding_attention" : "full_attention") })))
    return members
  }

  /// The factors and bounds.
  private func numberMembers(_ sizes: GGUFHeadSizes) throws(FormatError) -> [JSONValue.Member] {
    var members: [JSONValue.Member] = []
    for number in conventions.numbers {
      if let value = try keys.number(key(number.gguf)) {
        members.append(JSONValue.Member(number.configuration, value))
      } else if number.isRequired {
        throw FormatError(keys.path, .missing("key '\(key(number.gguf))'"))
      }
    }
    if let layerCount = conventions.streamScaledLayerCount {
      let width = sizes.layerCount == layerCount ? sizes.hiddenSize / sizes.headCount : sizes.headSize
      members.append(JSONValue.Member("query_pre_attn_scalar", .integer(width)))
    }
    return members
  }

  /// Whether linears have biases; either all layers have them or none.
  private var biasMembers: [JSONValue.Member] {
    let groups: [(key: String, tensors: [String])] = [
      ("attention_bias", ["attn_q", "attn_k", "attn_v", "attn_qkv"]), ("mlp_bias", ["ffn_gate", "ffn_up"]),
      ("use_bias", ["attn_q", "ffn_up"]),
    ]
    return groups.filter { family.understoodKeys.contains($0.key) }.map { group in
      JSONValue.Member(
        group.key,
        .bool(group.tensors.contains { tensorShapes["\(family.layers.gguf).0.\($0).bias"] != nil }))
    }
  }
}

/// The sizes of a model that decide about the shapes of its heads.
struct GGUFHeadSizes {
  let layerCount: Int
  let hiddenSize: Int
  let headCount: Int
  /// The number of key and value heads of the first layer with attention.
  let keyValueHeadCount: Int
  let headSize: Int
  /// The number of columns of a head that turn.
  let turnedCount: Int

  /// Reads the sizes.
  ///
  /// - Throws: `FormatError` with a key that is missing or does not fit the others.
  init(_ keys: GGUFKeys, _ family: ModelFamily) throws(FormatError) {
    func key(_ name: String) -> String { "\(family.ggufArchitecture).\(name)" }
    layerCount = try keys.size(key("block_count"))
    guard layerCount <= DecoderSizes.layerLimit else {
      throw keys.error(
        key("block_count"), .malformed("\(layerCount) is not from 1 to \(DecoderSizes.layerLimit)"))
    }
    hiddenSize = try keys.size(key("embedding_length"))
    headCount = try keys.size(key("attention.head_count"))
    let keyValueName = key(GGUFKeyNames.keyValueHeadCount)
    if family.gguf.listedSizes.contains(GGUFKeyNames.keyValueHeadCount) {
      let counts = try keys.sizes(keyValueName, layerCount: layerCount)
      keyValueHeadCount = counts?.first { $0 > 0 } ?? headCount
    } else {
      keyValueHeadCount = try keys.optionalSize(keyValueName) ?? headCount
    }
    let size: Int
    if let stated = try keys.optionalSize(key("attention.key_length")) {
      size = stated
    } else {
      guard hiddenSize % headCount == 0 else {
        throw keys.error(
          key("attention.head_count"), .malformed("\(headCount) does not divide the width \(hiddenSize)"))
      }
      size = hiddenSize / headCount
    }
    if let other = try keys.optionalSize(key("attention.value_length")), other != size {
      throw keys.error(
        key("attention.value_length"), .unsupported("is \(other), but the width of a head is \(size)"))
    }
    guard size % 2 == 0 else {
      throw keys.error(key("attention.head_count"), .malformed("the width of a head, \(size), is odd"))
    }
    headSize = size
    let turned = try keys.optionalSize(key(GGUFKeyNames.turnedCount)) ?? size
    guard turned == size || family.gguf.turnedShareKey != nil && turned < size && turned % 2 == 0 else {
      throw keys.error(
        key(GGUFKeyNames.turnedCount), .unsupported("is \(turned), but the width of a head is \(size)"))
    }
    turnedCount = turned
  }

  /// The share of a head's columns that turn; the width of a head times it is their number again.
  var turnedShare: JSONValue {
    let share = Double(turnedCount) / Double(headSize)
    return .double(Int(Double(headSize) * share) == turnedCount ? share : share.nextUp)
  }
}
