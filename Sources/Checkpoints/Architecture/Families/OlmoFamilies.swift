extension ModelFamily {
  /// OLMo 2: norms after each part instead of before it, and norms of all queries and all keys.
  package static let olmo2: ModelFamily = {
    var family = ModelFamily(
      modelType: "olmo2", className: "Olmo2ForCausalLM", ggufArchitecture: "olmo2"
    ) { sizes, keys throws(FormatError) in
      let parts = DecoderParts(sizes)
      let rotary = RotaryDescription(sizes.attention, parameters: try RotaryParameters(keys, sizes))
      let hasBias = try keys.optionalBool("attention_bias") ?? false
      return parts.model(
        layers: parts.everyLayer(parts.olmoLayer(sizes.attention, rotary, hasBias: hasBias)))
    }
    family.defaults.epsilon = 1e-5
    family.understoodKeys = ["attention_bias"]
    family.gguf.requiresHead = true
    family.mlx = MLXProgram()
    return family
  }()

  /// OLMo 3: OLMo 2 with windows in three of four layers; only the others have scaled wavelengths.
  package static let olmo3: ModelFamily = {
    var family = ModelFamily(
      modelType: "olmo3", className: "Olmo3ForCausalLM", ggufArchitecture: "olmo2"
    ) { sizes, keys throws(FormatError) in
      let parts = DecoderParts(sizes)
      let window = try keys.window(missing: 4096)
      let windowed = try keys.windowedLayers(sizes.layerCount) { ($0 + 1) % 4 != 0 }
      let global = try RotaryParameters(global: keys, sizes, theta: 500_000)
      let local = try RotaryParameters(windowed: keys, sizes, theta: 500_000, baseKey: "rope_theta")
      let hasBias = try keys.optionalBool("attention_bias") ?? false
      return parts.model(
        layers: parts.layers(windowed) { isWindowed in
          parts.olmoLayer(
            sizes.attention.with(window: isWindowed ? window : nil),
            RotaryDescription(sizes.attention, parameters: isWindowed ? local : global), hasBias: hasBias)
        })
    }
    family.defaults.epsilon = 1e-5
    family.understoodKeys = ["attention_bias", "sliding_window", "layer_types"]
    family.gguf.windows = .listed
    family.gguf.windowedBaseKey = "rope_theta"
    family.gguf.requiresHead = true
    family.gguf.identifyingKey = GGUFKeyNames.window
    family.mlx = MLXProgram { $0.windows = .layerTypes }
    return family
  }()
}

extension DecoderParts {
  fileprivate func olmoLayer(
    _ attention: AttentionDescription, _ rotary: RotaryDescription, hasBias: Bool
  ) -> [LayerPart] {
    [
      LayerPart(
        self.attention(
          attention, rotary, inputsHaveBias: hasBias, outputHasBias: hasBias,
          norms: queryAndKeyNorms(attention, ofAllHeads: true))
          + [.norm(norm("post_attention_layernorm", gguf: "post_attention_norm"))]),
      LayerPart(
        gatedFeedForward() + [.norm(norm("post_feedforward_layernorm", gguf: "post_ffw_norm"))]),
    ]
  }
}
