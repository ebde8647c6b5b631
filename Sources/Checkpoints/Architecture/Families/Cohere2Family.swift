extension ModelFamily {
  /// Command R7B: one LayerNorm for attention and feed-forward, which run side by side; only windowed layers
  /// turn.
  package static let cohere2: ModelFamily = {
    var family = ModelFamily(
      modelType: "cohere2", className: "Cohere2ForCausalLM", ggufArchitecture: "cohere2"
    ) { sizes, keys throws(FormatError) in
      var parts = DecoderParts(sizes)
      parts.normKind = .standardDeviation
      let usual = parts
      let window = try keys.window(missing: 4096)
      let pattern = try keys.optionalSize("sliding_window_pattern") ?? 4
      let windowed = try keys.windowedLayers(sizes.layerCount) { ($0 + 1) % pattern != 0 }
      var rotary = RotaryDescription(sizes.attention, parameters: try RotaryParameters(keys, sizes))
      rotary.pairing = .neighbours
      let turning = rotary
      let hasBias = try keys.optionalBool("attention_bias") ?? false
      let norm = LayerOperation.norm(usual.norm("input_layernorm", gguf: "attn_norm"))
      var model = parts.model(
        layers: parts.layers(windowed) { isWindowed in
          [
            LayerPart(
              [norm]
                + usual.attention(
                  sizes.attention.with(window: isWindowed ? window : nil), isWindowed ? turning : nil,
                  inputsHaveBias: hasBias, outputHasBias: hasBias)),
            LayerPart([norm] + usual.gatedFeedForward(), isParallel: true),
          ]
        })
      model.logitScale = try keys.multiplier("logit_scale", missing: 0.0625)
      return model
    }
    family.defaults.epsilonKey = "layer_norm_eps"
    family.defaults.epsilon = 1e-5
    family.defaults.tiesEmbeddings = true
    family.defaults.contextLength = 8192
    family.understoodKeys = [
      "attention_bias", "sliding_window", "sliding_window_pattern", "layer_types", "logit_scale",
    ]
    // Published files have it; transformers turns whole heads.
    family.ignoredKeys = ["rotary_pct"]
    family.gguf.normKind = .standardDeviation
    family.gguf.windows = .allButEvery(4)
    family.gguf.turningLayers = .windowed
    family.gguf.statesLogitScale = true
    family.gguf.numbers = [.init("logit_scale", "logit_scale", isRequired: true)]
    family.gguf.fixedMembers = [.init("sliding_window_pattern", .integer(4))]
    family.mlx = MLXProgram {
      $0.windows = .pattern
      $0.heads = .embeddingOnly
      $0.scalings = .none
    }
    return family
  }()
}
