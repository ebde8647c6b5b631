import Kernels

/// What mlx-lm's program of a family computes, as far as it is less than the family's computation.
///
/// Source: mlx-lm 0.32, `models/`.
package struct MLXProgram: Sendable {
  /// How the program knows which layers have a window.
  package enum Windows: Sendable {
    /// It computes no windows.
    case none
    /// `layer_types` names each layer; at least one must see everything.
    case layerTypes
    /// Every layer but the last of `sliding_window_pattern` has one.
    case pattern
  }

  /// Which output heads the program knows.
  package enum Heads: Sendable {
    case any
    case embeddingOnly
    case ownOnly
  }

  /// Which scalings of the wavelengths the program knows.
  package enum Scalings: Sendable {
    case none
    /// All but two: `longrope`, of which it uses the long divisors only, and unrounded bounds of `yarn`.
    case common
    /// `longrope`, of which it uses the long divisors only, and `linear`.
    case phi3
  }

  /// Which linears have a bias.
  package enum Biases: Sendable {
    /// Those that the configuration describes.
    case described
    /// None.
    case none
    /// All, and all norms that can have one.
    case all
  }

  /// How it knows which layers have a window.
  package var windows = Windows.none
  /// The output heads that it knows.
  package var heads = Heads.any
  /// The scalings that it knows.
  package var scalings = Scalings.common
  /// The linears with a bias.
  package var biases = Biases.described
  /// Whether heads can be wider or narrower than the stream's width over the heads.
  package var readsHeadSize = true
  /// Whether it bounds logits, and scores where the family does: always, never, or as the family.
  package var boundsLogits: Bool?
  /// The width inside the feed-forward part over that of the stream, if it is fixed.
  package var feedForwardFactor: Int?
  /// Whether modules have other names while it runs, so that no module can be packed in a way of its own.
  package var renamesModules = false
  /// The prefix of the modules of a model inside a larger one; nil if any prefix does.
  package var nestedPrefix: String?
  /// The key of the base of the wavelengths.
  package var thetaKey = "rope_theta"
  /// The key of the base of the wavelengths of layers with a window, if it is another one.
  package var windowedThetaKey: String?
  /// The key of the share of a head that turns; nil if the program turns whole heads.
  package var shareKey: String?
  /// The only bound of clamped gates that it computes, if it computes them.
  package var gateLimit: Float?
  /// Keys that it reads, with the key that newer configurations have in their place.
  package var aliases: [(key: String, alias: String)] = []
  /// Keys that it requires, or assumes otherwise, with what the family assumes.
  package var assumptions: [JSONValue.Member] = []

  /// A program that computes what Llama's does.
  package init(_ change: (inout MLXProgram) -> Void = { _ in }) { change(&self) }
}

extension ModelConfiguration {
  /// Checks that mlx-lm computes the same model.
  ///
  /// - Parameters:
  ///   - contents: The tensors to be written.
  ///   - path: The path for errors.
  /// - Throws: `FormatError.notExact` with the key or module that mlx-lm would ignore.
  package func requireMLX(_ contents: CheckpointContents, path: String) throws(FormatError) {
    guard let program = family.mlx else { return }
    let names = Set(contents.tensors.map(\.name))
    let layout = ModelLayout(self) { names.contains($0) }
    func require(_ holds: Bool, _ place: String, _ reason: String) throws(FormatError) {
      guard !holds else { return }
      throw FormatError(path, at: place, .notExact("MLX's \(family.modelType) " + reason))
    }
    try requireMLXWindows(program, path: path)
    for rotary in rotaryDescriptions {
      if let reason = rotary.parameters.reasonAgainst(program.scalings) {
        try require(false, "key 'rope_scaling'", reason)
      }
    }
    let hasHead = names.contains(layout.head.name)
    switch program.heads {
    case .any: break
    case .embeddingOnly: try require(!hasHead, "tensor '\(layout.head.name)'", "has no head of its own")
    case .ownOnly: try require(hasHead, "tensor '\(layout.head.name)'", "needs it")
    }
    let isUsual = sizes.headSize * sizes.headCount == sizes.hiddenSize
    try require(program.readsHeadSize || isUsual, "key 'head_dim'", "computes it from hidden_size")
    if let factor = program.feedForwardFactor {
      try require(
        sizes.intermediateSize == factor * sizes.hiddenSize, "key 'intermediate_size'",
        "takes \(factor) times hidden_size")
    }
    if let bounds = program.boundsLogits {
      try require(
        (description.logitCap != nil) == bounds, "key 'final_logit_softcapping'",
        bounds ? "needs it" : "does not read it")
      try require(
        !bounds || attentions.allSatisfy { $0.scoreCap != nil }, "key 'attn_logit_softcapping'", "needs it")
    }
    if let limit = program.gateLimit {
      try require(
        description.layers.lazy.compactMap(\.experts).allSatisfy {
          $0.activation == .clampedSiLU(limit: limit)
        }, "key 'swiglu_limit'", "bounds gates at \(limit)")
    }
    if let prefix = program.nestedPrefix, isNested {
      try require(
        layout.prefix == prefix, "tensor '\(layout.embedding.name)'", "finds no tensors without '\(prefix)'")
    }
    for tensor in layout.bodyTensors where tensor.canHaveBias {
      let isThere = names.contains(tensor.biasName)
      let expected =
        switch program.biases {
        case .described: tensor.slot.hasBias
        case .none: false
        case .all: true
        }
      try require(
        isThere == expected, "tensor '\(tensor.biasName)'", isThere ? "has no bias there" : "needs it")
    }
    if program.renamesModules, let module = contents.modulesPackedOtherwise.first {
      try require(false, "module '\(module)'", "cannot have modules that are packed in different ways")
    }
  }

  /// A notice if it is not known what mlx-lm computes for the family; otherwise none.
  package var noticesForMLX: [String] {
    guard family.mlx == nil else { return [] }
    return ["mlx-lm may compute models of type '\(family.modelType)' differently; compare its results"]
  }

  private func requireMLXWindows(_ program: MLXProgram, path: String) throws(FormatError) {
    let windows = layerWindows
    guard let window = windows.lazy.compactMap(\.self).first(where: { $0 < contextLength }) else { return }
    let isKnown =
      switch program.windows {
      case .none: false
      case .layerTypes: windows.contains(nil)
      case .pattern: windowPattern != nil
      }
    guard !isKnown else { return }
    throw FormatError(
      path, at: "key 'sliding_window'",
      .notExact(
        "MLX's \(family.modelType) has no such windows and differs in contexts of more than \(window) tokens; "
          + "set the key to null to accept that"))
  }

  /// The attention of each layer that has one.
  private var attentions: [AttentionDescription] {
    description.layers.compactMap { layer in
      for case .attention(let attention) in layer.parts.flatMap(\.operations) { return attention }
      return nil
    }
  }

  /// The window of each layer's attention.
  private var layerWindows: [Int?] { attentions.map(\.window) }

  /// The number of layers of which the last has no window; nil if there is no such number.
  private var windowPattern: Int? {
    let windows = layerWindows
    guard let first = windows.firstIndex(of: nil) else { return nil }
    let isPattern = windows.indices.allSatisfy { (($0 + 1) % (first + 1) == 0) == (windows[$0] == nil) }
    return isPattern ? first + 1 : nil
  }

  /// The keys of the model's part of `config.json`, completed for mlx-lm.
  func keysForMLX(_ keys: JSONValue, _ program: MLXProgram, hasHead: Bool) -> JSONValue {
    var result = keys
    func setIfMissing(_ key: String, _ value: JSONValue) {
      if result[key].map(\.isNull) ?? true { result.set(key, to: value) }
    }
    setIfMissing("model_type", .string(family.modelType))
    setIfMissing("num_key_value_heads", .integer(keyValueHeadCount))
    setIfMissing("max_position_embeddings", .integer(contextLength))
    if program.readsHeadSize { setIfMissing("head_dim", .integer(headSize)) }
    setIfMissing(family.defaults.epsilonKey, .double(family.defaults.epsilon))
    result.set("tie_word_embeddings", to: .bool(tiesEmbeddings && !hasHead))
    for (key, alias) in program.aliases {
      if let value = keys[alias], !value.isNull { setIfMissing(key, value) }
    }
    for member in program.assumptions { setIfMissing(member.key, member.value) }
    let windows = layerWindows
    switch program.windows {
    case .none: break
    case .layerTypes:
      if let window = windows.compactMap(\.self).first {
        result.set("sliding_window", to: .integer(window))
        result.set(
          "layer_types",
          to: .array(windows.map { .string($0 == nil ? "full_attention" : "sliding_attention") }))
      } else if result["layer_types"] != nil {
        result.set("layer_types", to: .array(windows.map { _ in .string("full_attention") }))
      }
    case .pattern:
      if let window = windows.compactMap(\.self).first, let pattern = windowPattern {
        result.set("sliding_window", to: .integer(window))
        result.set("sliding_window_pattern", to: .integer(pattern))
      }
    }
    if let key = program.windowedThetaKey, let rotary = rotary(isWindowed: true) {
      setIfMissing(key, .double(rotary.parameters.theta))
    }
    guard let rotary = rotary(isWindowed: false) ?? rotary(isWindowed: true) else { return result }
    setIfMissing(program.thetaKey, .double(rotary.parameters.theta))
    if let key = program.shareKey {
      setIfMissing(key, .double(Double(rotary.turnedCount) / Double(rotary.headSize)))
    }
    if let scaling = keys.scalingForMLX(rotary.parameters) { result.set("rope_scaling", to: scaling) }
    // Parameters for each kind of layer would contradict the scaling, which is that of one kind.
    return result["rope_parameters"]?["full_attention"]?.object == nil
      ? result : .object((result.object ?? []).filter { $0.key != "rope_parameters" })
  }

  /// The wavelengths of the layers with a window, or of those without one; nil if there are none that turn.
  private func rotary(isWindowed: Bool) -> RotaryDescription? {
    for (window, layer) in zip(layerWindows, description.layers) where (window != nil) == isWindowed {
      for case .rotary(let rotary) in layer.parts.flatMap(\.operations) { return rotary }
    }
    return nil
  }
}

extension RotaryParameters {
  /// Why a program of mlx-lm does not compute the scaling; nil if it does.
  fileprivate func reasonAgainst(_ scalings: MLXProgram.Scalings) -> String? {
    switch (scalings, scaling) {
    case (_, nil), (.common, .linear), (.common, .dynamic), (.common, .llama3), (.phi3, .linear): return nil
    case (.common, .yarn(let yarn)):
      guard yarn.roundsBounds else { return "rounds the bounds of yarn, whatever 'truncate' says" }
      let computed = YarnScaling(
        factor: yarn.factor, originalContext: yarn.originalContext, logarithmWeights: yarn.logarithmWeights
      ).amplitude
      return abs(computed - yarn.amplitude) < 1e-6 ? nil : "does not read 'attention_factor'"
    case (.common, .longrope(let longrope)), (.phi3, .longrope(let longrope)):
      guard longrope.shortDivisors == longrope.longDivisors else {
        return "takes 'long_factor' for every sequence, also for those of at most "
          + "\(longrope.originalContext) tokens; make 'short_factor' equal to it to accept that"
      }
      return nil
    case (.none, _), (.common, .proportional), (.phi3, _): return "does not read it"
    }
  }
}

extension JSONValue {
  /// The scaling of the wavelengths as mlx-lm reads it; nil without one.
  fileprivate func scalingForMLX(_ parameters: RotaryParameters) -> JSONValue? {
    guard parameters.scaling != nil else { return nil }
    let given = [self["rope_scaling"], self["rope_parameters"]?["full_attention"], self["rope_parameters"]]
      .compactMap(\.self).first { $0.object?.isEmpty == false }
    guard var result = given else { return nil }
    func set(_ key: String, _ value: JSONValue) {
      if result[key] != value { result.set(key, to: value) }
    }
    func setIfMissing(_ key: String, _ value: JSONValue) {
      if result[key].map(\.isNull) ?? true { result.set(key, to: value) }
    }
    switch parameters.scaling {
    case .llama3(let llama3):
      set("original_max_position_embeddings", .integer(llama3.originalContext))
    case .yarn(let yarn):
      setIfMissing("factor", .double(yarn.factor))
      set("original_max_position_embeddings", .integer(yarn.originalContext))
    case .longrope(let longrope):
      set("type", .string("longrope"))
      set("original_max_position_embeddings", .integer(longrope.originalContext))
    case .linear, .dynamic, .proportional, nil: break
    }
    return result
  }
}

extension CheckpointContents {
  /// The modules that are packed otherwise than the first one, by name.
  fileprivate var modulesPackedOtherwise: [String] {
    let modules = quantization.keys.sorted(by: precedes)
    guard let first = modules.first else { return [] }
    return modules.filter { quantization[$0] != quantization[first] }
  }
}
