/// The hyperparameters of a model in a GGUF file: its keys, the `config.json` made from them, and the model
/// that it describes.
struct GGUFConfiguration {
  /// The configuration as a program that reads `config.json` sees it.
  let model: ModelConfiguration
  /// The contents of `config.json`, keys sorted.
  let json: JSONValue
  /// The names of the tensors.
  let names: GGUFTensorNames
  /// The dtype of the matrices that are not packed.
  let dtype: DType
  /// The rows of the embedding.
  let vocabularySize: Int

  var family: ModelFamily { model.family }

  /// Reads the keys of a file.
  ///
  /// - Parameters:
  ///   - keys: The metadata.
  ///   - entries: The tensors; they tell the dtype, the vocabulary, and which biases and heads there are.
  ///   - divisors: The values of the tensors that stand for the scaling of the wavelengths, by their names.
  /// - Throws: `FormatError` with a key that is missing, malformed, or stands for a model of another kind.
  init(
    _ keys: GGUFKeys, _ entries: [GGUFHeader.Entry], divisors: [String: [Float]]
  ) throws(FormatError) {
    let family = try Self.family(keys)
    let embedding = entries.first { $0.name == GGUFTensorNames.embedding }
    dtype = embedding?.type.dtype ?? .bf16
    vocabularySize = embedding?.shape.first ?? 0
    let document = GGUFConfigurationDocument(
      keys: keys, family: family,
      tensorShapes: Dictionary(entries.map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first }),
      divisors: divisors)
    json = try document.json(dtype: dtype, vocabularySize: vocabularySize)
    guard vocabularySize > 0 else {
      throw FormatError(keys.path, .missing("tensor '\(GGUFTensorNames.embedding)'"))
    }
    model = try ModelConfiguration(json, path: keys.path)
    names = GGUFTensorNames(model)
  }

  /// The families of an architecture, those first that a key tells apart.
  private static func families(ofArchitecture architecture: String) -> [ModelFamily] {
    let families = ModelFamily.all.filter { $0.ggufArchitecture == architecture }
    return families.filter { $0.gguf.identifyingKey != nil }
      + families.filter { $0.gguf.identifyingKey == nil }
  }

  /// The family of the file; refuses keys of the file that are not understood.
  private static func family(_ keys: GGUFKeys) throws(FormatError) -> ModelFamily {
    guard let architecture = try keys.string("general.architecture") else {
      throw FormatError(keys.path, .missing("key 'general.architecture'"))
    }
    let prefix = architecture + "."
    let family = families(ofArchitecture: architecture).first { family in
      family.gguf.identifyingKey.map { keys.states(prefix + $0) } ?? true
    }
    guard let family else {
      throw keys.error(
        "general.architecture",
        .unsupportedKind(
          "architecture '\(architecture)'",
          supported: Set(ModelFamily.all.map(\.ggufArchitecture)).sorted(by: precedes)))
    }
    if let type = try keys.string("general.type"), type != "model" {
      throw keys.error("general.type", .unsupported("'\(type)' is not a model"))
    }
    if let count = try keys.integer("split.count"), count > 1 {
      throw keys.error(
        "split.count", .unsupported("is one of \(count) files of a model, which are not supported"))
    }
    let understood = family.gguf.understoodKeys
    for key in keys.metadata.keys where key.hasPrefix(prefix) {
      guard understood.contains(String(key.dropFirst(prefix.count))) else {
        throw keys.error(key, .unsupported("a model with this key is not supported"))
      }
    }
    if !family.gguf.holdsExperts, let count = try keys.integer(prefix + GGUFKeyNames.expertCount), count > 0 {
      throw keys.error(prefix + "expert_count", .unsupportedKind("a mixture of \(count) experts"))
    }
    let layout = prefix + "tensor_data_layout"
    if let text = try keys.string(layout), text != "Meta AI original pth" {
      throw keys.error(layout, .unsupportedKind("layout '\(text)'"))
    }
    return family
  }
}

extension GGUFKeys {
  /// Whether a key is there and not 0.
  fileprivate func states(_ key: String) -> Bool { metadata[key].map { $0.integer != 0 } ?? false }
}
