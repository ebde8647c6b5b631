extension ModelFamily {
  /// StarCoder 2: LayerNorms, biases everywhere, a feed-forward part without a gate.
  package static let starcoder2: ModelFamily = {
    var family = ModelFamily(
      modelType: "starcoder2", className: "Starcoder2ForCausalLM", ggufArchitecture: "starcoder2"
    ) { sizes, keys throws(FormatError) in
      var parts = DecoderParts(sizes)
      parts.normKind = .standardDeviation
      parts.normHasBias = true
      let attention = sizes.attention.with(window: try keys.window(missing: nil))
      let rotary = RotaryDescription(attention, parameters: try RotaryParameters(keys, sizes))
      let hasBias = try keys.optionalBool("use_bias") ?? true
      return parts.model(
        layers: parts.everyLayer(
          parts.preNorm(
            parts.attention(attention, rotary, inputsHaveBias: hasBias, outputHasBias: hasBias),
            [
              .linears(
                .gateAndUp,
                [TensorSlot("mlp.c_fc", gguf: "ffn_up", [sizes.feedForward, sizes.stream], hasBias: hasBias)]),
              .activation(sizes.activation),
              .linears(
                .down,
                [
                  TensorSlot(
                    "mlp.c_proj", gguf: "ffn_down", [sizes.stream, sizes.feedForward], hasBias: hasBias)
                ]),
            ])))
    }
    family.defaults.epsilonKey = "norm_epsilon"
    family.defaults.epsilon = 1e-5
    family.defaults.activation = "gelu_pytorch_tanh"
    family.defaults.keyValueHeadCount = 2
    family.defaults.tiesEmbeddings = true
    family.defaults.contextLength = 4096
    family.understoodKeys = ["use_bias", "sliding_window"]
    family.gguf.normKind = .standardDeviation
    family.gguf.biases = LinearGroupKind.dense
    family.mlx = MLXProgram {
      $0.scalings = .none
      $0.biases = .all
      $0.readsHeadSize = false
    }
    return family
  }()
}
