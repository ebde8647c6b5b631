import Kernels

extension ModelConfiguration {
  /// Checks that mlx-lm computes the same model.
  ///
  /// - Parameters:
  ///   - contents: The tensors to be written.
  ///   - path: The path for errors.
  /// - Throws: `FormatError.notExact` with the key or module that mlx-lm would ignore.
  package func requireMLX(_ contents: CheckpointContents, path: String) throws(FormatError) {
    let program = family.mlx
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
        !bounds || description.attentions.allSatisfy { $0.attention.scoreCap != nil },
        "key 'attn_logit_softcapping'", "needs it")
    }
    if let usual = Activation(configurationName: family.defaults.activation) {
      let isComputed = sizes.activation == usual || sizes.activation.isGelu && usual.isGelu
      try require(
        isComputed, "key '\(family.defaults.activationKey)'", "computes '\(family.defaults.activation)'")
    }
    if let limit = program.gateLimit {
      try require(
        description.layers.lazy.compactMap(\.experts).allSatisfy {
          $0.activation == .clampedSiLU(limit: limit)
        }, "key 'swiglu_limit'", "bounds gates at \(limit)")
    }
    if isNested, let usual = program.nestedPrefixes.first {
      try require(
        program.nestedPrefixes.contains(layout.prefix), "tensor '\(layout.embedding.name)'",
        "finds no tensors without '\(usual)'")
      try require(
        !hasHead || layout.head.name.hasPrefix("language_model."), "tensor '\(layout.head.name)'",
        "finds no head without 'language_model.'")
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
    do { _ = try program.settings(self) } catch { try require(false, error.place, error.reason) }
  }

  /// What mlx-lm computes otherwise in texts that hardly occur.
  package var noticesForMLX: [String] {
    let tokens = description.placeholders.keys.filter { $0 < vocabularySize }.sorted()
    guard !tokens.isEmpty else { return [] }
    return [
      "MLX gives tokens \(tokens.map(String.init).joined(separator: ", ")), which stand for images and sounds, "
        + "embeddings of their own; here they have that of padding"
    ]
  }

  private func requireMLXWindows(_ program: MLXProgram, path: String) throws(FormatError) {
    let windows = description.attentions.map(\.attention.window)
    guard let window = windows.lazy.compactMap(\.self).first(where: { $0 < contextLength }) else { return }
    let isKnown =
      switch program.windows {
      case .none: false
      case .layerTypes: windows.contains(nil)
      case .pattern: windows.windowPattern != nil
      }
    guard !isKnown else { return }
    throw FormatError(
      path, at: "key 'sliding_window'",
      .notExact(
        "MLX's \(family.modelType) has no such windows and differs in contexts of more than \(window) tokens; "
          + "set the key to null to accept that"))
  }
}

extension RotaryParameters {
  /// Why a program of mlx-lm does not compute the scaling; nil if it does.
  fileprivate func reasonAgainst(_ scalings: MLXProgram.Scalings) -> String? {
    switch (scalings, scaling) {
    case (_, nil), (.common, .linear), (.common, .dynamic), (.common, .llama3), (.phi3, .linear),
      (.proportional, .linear), (.proportional, .proportional):
      return nil
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
    case (.none, _), (.common, .proportional), (.phi3, _), (.proportional, _): return "does not read it"
    }
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

extension Activation {
  /// Whether it is gelu, of which mlx-lm computes the one or the other.
  fileprivate var isGelu: Bool { self == .gelu || self == .geluTanh }
}
