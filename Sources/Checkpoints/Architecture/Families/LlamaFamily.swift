extension ModelFamily {
  /// Llama 1 to 3 and models with the same layers: pre-norms, rotary positions, grouped heads, gated
  /// feed-forward.
  package static let llama: ModelFamily = {
    var family = ModelFamily(
      modelType: "llama", className: "LlamaForCausalLM", ggufArchitecture: "llama"
    ) { sizes, keys throws(FormatError) in
      try llamaModel(sizes, keys, windows: [Int?](repeating: nil, count: sizes.layerCount))
    }
    family.understoodKeys = ["attention_bias", "mlp_bias"]
    family.gguf.biases = LinearGroupKind.dense
    family.gguf.hasOwnHeadSize = true
    family.gguf.holdsDivisors = true
    // transformers computes a Llama without windows, whatever these keys say.
    family.ignoredKeys = ["sliding_window", "use_sliding_window", "layer_types", "max_window_layers"]
    family.mlx = MLXProgram { $0.windows = .layerTypes }
    return family
  }()

  /// Llama's layers, with windows.
  static func llamaModel(
    _ sizes: DecoderSizes, _ keys: ConfigurationKeys, windows: [Int?],
    queryGrowth: RotaryDescription.QueryGrowth? = nil, understoodRotaryKeys: Set<String> = []
  ) throws(FormatError) -> ModelDescription {
    var parts = DecoderParts(sizes)
    parts.rowOrder = .rotaryPairs
    let attentionHasBias = try keys.optionalBool("attention_bias") ?? false
    let feedForwardHasBias = try keys.optionalBool("mlp_bias") ?? false
    var rotary = RotaryDescription(
      sizes.attention, parameters: try RotaryParameters(keys, sizes, understood: understoodRotaryKeys))
    rotary.queryGrowth = queryGrowth
    let (usual, turning) = (parts, rotary)
    return parts.model(
      layers: parts.layers(windows) { window in
        usual.preNorm(
          usual.attention(
            sizes.attention.with(window: window), turning, inputsHaveBias: attentionHasBias,
            outputHasBias: attentionHasBias), usual.gatedFeedForward(hasBias: feedForwardHasBias))
      })
  }
}
