/// The adapter of one module, as PEFT stores it.
///
/// A linear's weight W, `[out, in]`, becomes `W + scaling · B·A`. An embedding's, `[entries, width]`, becomes
/// `W + scaling · (B·A)ᵀ`, with A `[rank, entries]` and B `[width, rank]`. Tensors have the names of the
/// file.
package struct PeftModule: Sendable, Equatable {
  /// The last components of the names of embeddings.
  static let embeddingNames: Set<String> = ["embed_tokens", "wte", "wpe", "word_embeddings", "embed_in"]
  /// The last components of the names of output heads.
  static let headNames: Set<String> = ["lm_head", "embed_out", "output"]

  /// Whether a module is an embedding, judging by its name.
  static func isEmbedding(_ name: String) -> Bool { embeddingNames.contains(lastComponent(of: name)) }

  /// Whether a module is the embedding of tokens, which an output head may share its weights with.
  package static func isTokenEmbedding(_ name: String) -> Bool {
    isEmbedding(name) && lastComponent(of: name) != "wpe"
  }

  /// Whether a module is an output head, judging by its name.
  package static func isHead(_ name: String) -> Bool { headNames.contains(lastComponent(of: name)) }

  private static func lastComponent(of name: String) -> String {
    name.split(separator: ".").last.map(String.init) ?? name
  }

  /// The module's name in the base.
  package let name: String
  /// Whether it is an embedding.
  package let isEmbedding: Bool
  /// The rows of A.
  package let rank: Int
  /// Alpha, so that `scaling` is `alpha / rank` except for rounding.
  package let alpha: Double
  /// The factor of B·A.
  package let scaling: Double
  /// `[rank, in]`, or `[rank, in / groupSize]` when pooled.
  package let loraA: TensorInfo
  /// `[out, rank]`.
  package let loraB: TensorInfo
  /// The lengths that DoRA gives the rows, `[out]`.
  package let magnitude: TensorInfo?
  /// The bias of B, `[out]`; its part of the update is `scaling · bias`.
  package let bias: TensorInfo?

  /// The same adapter for a module of another name.
  func renamed(_ name: String) -> PeftModule {
    PeftModule(
      name: name, isEmbedding: isEmbedding, rank: rank, alpha: alpha, scaling: scaling, loraA: loraA,
      loraB: loraB, magnitude: magnitude, bias: bias)
  }
}

/// A tensor of an adapter that replaces a tensor of the base.
package struct PeftReplacement: Sendable, Equatable {
  /// The tensor of the base.
  package let name: String
  /// The tensor in the adapter's file.
  package let tensor: TensorInfo
}

/// The kind of a tensor of an `adapter_model.safetensors`, told by its name.
enum PeftTensorName {
  case loraA(module: String, isEmbedding: Bool)
  case loraB(module: String, isEmbedding: Bool)
  case bias(module: String)
  case magnitude(module: String)
  /// A tensor of the base, by its name there.
  case replacement(String)

  /// The prefix that PEFT puts before the name of a module.
  static let prefix = "base_model.model."

  /// Reads a name; nil when it lacks the prefix or has no known form.
  init?(_ name: String) {
    guard name.hasPrefix(Self.prefix) else { return nil }
    let name = String(name.dropFirst(Self.prefix.count))
    func module(_ end: String) -> String? {
      name.hasByteSuffix(end) && name.utf8.count > end.utf8.count ? String(name.dropLast(end.count)) : nil
    }
    if let module = module(".lora_A.weight") {
      self = .loraA(module: module, isEmbedding: false)
    } else if let module = module(".lora_B.weight") {
      self = .loraB(module: module, isEmbedding: false)
    } else if let module = module(".lora_embedding_A") {
      self = .loraA(module: module, isEmbedding: true)
    } else if let module = module(".lora_embedding_B") {
      self = .loraB(module: module, isEmbedding: true)
    } else if let module = module(".lora_B.bias") {
      self = .bias(module: module)
    } else if let module = module(".lora_magnitude_vector") {
      self = .magnitude(module: module)
    } else {
      self = .replacement(Self.unwrapped(name))
    }
  }

  /// The name in the base of a tensor inside one of PEFT's wrappers: `m.base_layer.bias` is `m.bias`.
  private static func unwrapped(_ name: String) -> String {
    for wrapper in [".base_layer.", ".modules_to_save.default.", ".modules_to_save."] {
      if let range = name.firstRange(of: wrapper) {
        return name[..<range.lowerBound] + "." + name[range.upperBound...]
      }
    }
    return name
  }
}
