extension ModelFamily {
  /// Phi 3 to 4-mini: Llama with fused matrices.
  package static let phi3: ModelFamily = {
    var family = ModelFamily(
      modelType: "phi3", className: "Phi3ForCausalLM", ggufArchitecture: "phi3"
    ) { sizes, keys throws(FormatError) in
      let parts = DecoderParts(sizes)
      let attention = sizes.attention.with(window: try keys.window(missing: nil))
      let turnedCount = try keys.turnedCount(headSize: sizes.headSize)
      let rotary = RotaryDescription(
        attention, turnedCount: turnedCount,
        parameters: try RotaryParameters(
          keys, sizes, turnedCount: turnedCount, understood: ["partial_rotary_factor"], yarnIsLongRope: true))
      return parts.model(
        layers: parts.everyLayer(
          parts.preNorm(
            [
              parts.joinedQueriesKeysValues(attention), .rotary(rotary), .attention(attention),
              parts.attentionOutput(attention),
            ], parts.joinedGatedFeedForward())))
    }
    family.defaults.epsilon = 1e-5
    family.defaults.contextLength = 4096
    family.understoodKeys = ["sliding_window", "partial_rotary_factor"]
    family.gguf.statesIgnoredWindow = true
    family.gguf.holdsLengthDivisors = true
    family.gguf.turnedShareKey = "partial_rotary_factor"
    family.mlx = MLXProgram {
      $0.scalings = .phi3
      $0.biases = .none
      $0.readsHeadSize = false
      $0.shareKey = "partial_rotary_factor"
    }
    return family
  }()
}
