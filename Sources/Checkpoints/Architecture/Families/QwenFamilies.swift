extension ModelFamily {
  /// Qwen 2 and 2.5: Llama with biases of queries, keys and values.
  package static let qwen2: ModelFamily = {
    var family = ModelFamily(
      modelType: "qwen2", className: "Qwen2ForCausalLM", ggufArchitecture: "qwen2"
    ) { sizes, keys throws(FormatError) in
      let parts = DecoderParts(sizes)
      let rotary = RotaryDescription(sizes.attention, parameters: try RotaryParameters(keys, sizes))
      let windows = try keys.optionalWindows(sizes.layerCount, missingWindow: 4096, firstWindowed: 28)
      return parts.model(
        layers: parts.layers(windows) { window in
          parts.preNorm(
            parts.attention(sizes.attention.with(window: window), rotary, inputsHaveBias: true),
            parts.gatedFeedForward())
        })
    }
    family.understoodKeys = ["sliding_window", "use_sliding_window", "max_window_layers", "layer_types"]
    family.defaults.contextLength = 32_768
    family.gguf.biases = [.queriesKeysValues]
    family.mlx = MLXProgram { $0.readsHeadSize = false }
    return family
  }()

  /// Qwen 3: Llama with a norm of each query and key.
  package static let qwen3: ModelFamily = {
    var family = ModelFamily(
      modelType: "qwen3", className: "Qwen3ForCausalLM", ggufArchitecture: "qwen3"
    ) { sizes, keys throws(FormatError) in
      let parts = DecoderParts(sizes)
      let rotary = RotaryDescription(sizes.attention, parameters: try RotaryParameters(keys, sizes))
      let windows = try keys.optionalWindows(sizes.layerCount, missingWindow: 4096, firstWindowed: 28)
      let hasBias = try keys.optionalBool("attention_bias") ?? false
      return parts.model(
        layers: parts.layers(windows) { window in
          let attention = sizes.attention.with(window: window)
          return parts.preNorm(
            parts.attention(
              attention, rotary, inputsHaveBias: hasBias, outputHasBias: hasBias,
              norms: parts.queryAndKeyNorms(attention)), parts.gatedFeedForward())
        })
    }
    family.understoodKeys = [
      "attention_bias", "sliding_window", "use_sliding_window", "max_window_layers", "layer_types",
    ]
    family.defaults.headSize = 128
    family.defaults.contextLength = 32_768
    family.gguf.hasOwnHeadSize = true
    family.mlx = MLXProgram { $0.biases = .none }
    return family
  }()
}
