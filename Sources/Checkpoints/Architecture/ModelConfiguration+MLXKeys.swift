extension ModelConfiguration {
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
    let windows = description.attentions.map(\.attention.window)
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
      if let window = windows.compactMap(\.self).first, let pattern = windows.windowPattern {
        result.set("sliding_window", to: .integer(window))
        result.set("sliding_window_pattern", to: .integer(pattern))
      }
    }
    for member in (try? program.settings(self)) ?? [] { result.set(member.key, to: member.value) }
    switch program.rotaryKeys {
    case .outer: return withRotaryKeys(result, program, of: keys)
    case .parameters:
      guard let rotary = rotary(isWindowed: false) else { return result }
      result.set("rope_parameters", to: keys.ropeParametersForMLX(rotary, shareKey: program.shareKey))
    case .parametersByKind:
      let kinds = [("full_attention", false), ("sliding_attention", true)]
      result.set(
        "rope_parameters",
        to: .object(
          kinds.map { kind, isWindowed in
            .init(kind, rotary(isWindowed: isWindowed)?.parameters.memberForMLX ?? .object([]))
          }))
    }
    // It would count instead of `rope_parameters`.
    return result.without("rope_scaling")
  }

  /// The keys with the wavelengths beside the other ones.
  private func withRotaryKeys(
    _ completed: JSONValue, _ program: MLXProgram, of keys: JSONValue
  ) -> JSONValue {
    var result = completed
    func setIfMissing(_ key: String, _ value: JSONValue) {
      if result[key].map(\.isNull) ?? true { result.set(key, to: value) }
    }
    if let key = program.windowedThetaKey, let rotary = rotary(isWindowed: true) {
      setIfMissing(key, .double(rotary.parameters.theta))
    }
    guard let rotary = rotary(isWindowed: false) ?? rotary(isWindowed: true) else { return result }
    setIfMissing(program.thetaKey, .double(rotary.parameters.theta))
    if let key = program.shareKey { setIfMissing(key, .double(rotary.turnedShare)) }
    if let scaling = keys.scalingForMLX(rotary.parameters) { result.set("rope_scaling", to: scaling) }
    // Parameters for each kind of layer would contradict the scaling, which is that of one kind.
    let hasKinds = result["rope_parameters"]?["full_attention"]?.object != nil
    return hasKinds ? result.without("rope_parameters") : result
  }

  /// The wavelengths of the layers with a window, or of those without one; nil if there are none that turn.
  private func rotary(isWindowed: Bool) -> RotaryDescription? {
    description.attentions.first { ($0.attention.window != nil) == isWindowed && $0.rotary != nil }?.rotary
  }
}

extension ModelDescription {
  /// The attention of each layer that has one, with how its queries and keys turn; nil if they do not.
  var attentions: [(attention: AttentionDescription, rotary: RotaryDescription?)] {
    layers.compactMap { layer in
      var found: (attention: AttentionDescription?, rotary: RotaryDescription?)
      for operation in layer.parts.flatMap(\.operations) {
        switch operation {
        case .attention(let attention): found.attention = attention
        case .rotary(let rotary): found.rotary = rotary
        default: break
        }
      }
      return found.attention.map { ($0, found.rotary) }
    }
  }
}

extension [Int?] {
  /// The number of layers of which the last has no window; nil if there is no such number.
  var windowPattern: Int? {
    guard let first = firstIndex(of: nil) else { return nil }
    let isPattern = indices.allSatisfy { (($0 + 1) % (first + 1) == 0) == (self[$0] == nil) }
    return isPattern ? first + 1 : nil
  }
}

extension RotaryDescription {
  /// The share of a head that turns.
  fileprivate var turnedShare: Double { Double(turnedCount) / Double(headSize) }
}

extension RotaryParameters {
  /// One kind of layer in `rope_parameters`; the scaling is none, linear or proportional.
  fileprivate var memberForMLX: JSONValue {
    var result = JSONValue.object([.init("rope_theta", .double(theta))])
    switch scaling {
    case .proportional(let proportional):
      result.set("rope_type", to: .string("proportional"))
      result.set("partial_rotary_factor", to: .double(proportional.share))
      if proportional.factor != 1 { result.set("factor", to: .double(proportional.factor)) }
    case .linear(let factor):
      result.set("rope_type", to: .string("linear"))
      result.set("factor", to: .double(factor))
    case nil, .dynamic, .llama3, .yarn, .longrope: result.set("rope_type", to: .string("default"))
    }
    return result
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

  /// `rope_parameters` with base, type and share, of the object that counts.
  fileprivate func ropeParametersForMLX(_ rotary: RotaryDescription, shareKey: String?) -> JSONValue {
    let given = [self["rope_scaling"], self["rope_parameters"]].compactMap(\.self)
      .first { $0.object?.isEmpty == false }
    var result = scalingForMLX(rotary.parameters) ?? given ?? .object([])
    result.set("rope_theta", to: .double(rotary.parameters.theta))
    if result["rope_type"] == nil, result["type"] == nil { result.set("rope_type", to: .string("default")) }
    if let shareKey { result.set(shareKey, to: .double(rotary.turnedShare)) }
    return result
  }

  /// The object without a member.
  fileprivate func without(_ key: String) -> JSONValue {
    .object((object ?? []).filter { $0.key != key })
  }
}
