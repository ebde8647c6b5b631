extension ModelFamily {
  /// SmolLM 3: Llama whose every fourth layer does not turn queries and keys.
  package static let smollm3: ModelFamily = {
    var family = ModelFamily(
      modelType: "smollm3", className: "SmolLM3ForCausalLM", ggufArchitecture: "smollm3"
    ) { sizes, keys throws(FormatError) in
      var parts = DecoderParts(sizes)
      parts.rowOrder = .rotaryPairs
      let usual = parts
      let rotary = RotaryDescription(
        sizes.attention, parameters: try RotaryParameters(keys, sizes, theta: 2_000_000))
      let turns = try keys.turningLayers(sizes.layerCount)
      let windows = try keys.smolLM3Windows(turns)
      let attentionHasBias = try keys.optionalBool("attention_bias") ?? false
      let feedForwardHasBias = try keys.optionalBool("mlp_bias") ?? false
      let kinds = zip(windows, turns).map { LayerKind(window: $0, turns: $1) }
      return parts.model(
        layers: parts.layers(kinds) { kind in
          usual.preNorm(
            usual.attention(
              sizes.attention.with(window: kind.window), kind.turns ? rotary : nil,
              inputsHaveBias: attentionHasBias, outputHasBias: attentionHasBias),
            usual.gatedFeedForward(hasBias: feedForwardHasBias))
        })
    }
    family.defaults.keyValueHeadCount = 4
    family.defaults.tiesEmbeddings = true
    family.defaults.contextLength = 32_768
    family.understoodKeys = [
      "attention_bias", "mlp_bias", "sliding_window", "use_sliding_window", "layer_types", "no_rope_layers",
      "no_rope_layer_interval",
    ]
    family.gguf.turningLayers = .allButEvery(4)
    family.gguf.fixedMembers = [.init("no_rope_layer_interval", .integer(4))]
    // transformers windows the layers that do not turn, from whichever layer on.
    family.ignoredKeys = ["max_window_layers"]
    family.mlx = MLXProgram { $0.windows = .layerTypes }
    return family
  }()

  private struct LayerKind: Equatable {
    let window: Int?
    let turns: Bool
  }
}

extension ConfigurationKeys {
  /// Whether each layer turns queries and keys: a 1 in `no_rope_layers`, or all but every fourth layer.
  fileprivate func turningLayers(_ count: Int) throws(FormatError) -> [Bool] {
    let name = "no_rope_layers"
    guard let value = value(name) else {
      let interval = try optionalSize("no_rope_layer_interval") ?? 4
      return (0..<count).map { ($0 + 1) % interval != 0 }
    }
    guard let list = value.array, list.count == count else {
      throw malformed(name, "must be a list of \(count) numbers, 1 for each layer that turns")
    }
    return list.map { $0.integer != 0 }
  }
  /// The windows of the layers: with `use_sliding_window`, of those that do not turn, or as `layer_types` says.
  fileprivate func smolLM3Windows(_ turns: [Bool]) throws(FormatError) -> [Int?] {
    let isUsed = try optionalBool("use_sliding_window") ?? false
    let window = isUsed ? try window(missing: nil) : nil
    return try windowedLayers(turns.count) { !turns[$0] }.map { $0 ? window : nil }
  }
}
