extension ModelFamily {
  /// GLM 4: norms before and after each part, biases of queries, keys and values, neighbouring rotary
  /// columns, and a fused gate.
  package static let glm4: ModelFamily = {
    var family = ModelFamily(
      modelType: "glm4", className: "Glm4ForCausalLM", ggufArchitecture: "glm4"
    ) { sizes, keys throws(FormatError) in
      let parts = DecoderParts(sizes)
      let turnedCount = try keys.turnedCount(headSize: sizes.headSize, share: 0.5)
      var rotary = RotaryDescription(
        sizes.attention, turnedCount: turnedCount,
        parameters: try RotaryParameters(
          keys, sizes, turnedCount: turnedCount, understood: ["partial_rotary_factor"]))
      rotary.pairing = .neighbours
      let turning = rotary
      let hasBias = try keys.optionalBool("attention_bias") ?? false
      return parts.model(
        layers: parts.everyLayer([
          LayerPart(
            [.norm(parts.norm("input_layernorm", gguf: "attn_norm"))]
              + parts.attention(sizes.attention, turning, inputsHaveBias: hasBias)
              + [.norm(parts.norm("post_self_attn_layernorm", gguf: "post_attention_norm"))]),
          LayerPart(
            [.norm(parts.norm("post_attention_layernorm", gguf: "ffn_norm"))]
              + parts.joinedGatedFeedForward()
              + [.norm(parts.norm("post_mlp_layernorm", gguf: "post_ffw_norm"))]),
        ]))
    }
    family.defaults.epsilon = 1.5625e-7
    family.defaults.keyValueHeadCount = 2
    family.defaults.headSize = 128
    family.defaults.contextLength = 131_072
    family.understoodKeys = ["attention_bias", "partial_rotary_factor"]
    family.gguf.biases = [.queriesKeysValues]
    family.gguf.hasOwnHeadSize = true
    family.gguf.turnedShareKey = "partial_rotary_factor"
    family.mlx = MLXProgram {
      $0.heads = .ownOnly
      $0.scalings = .none
      $0.shareKey = "partial_rotary_factor"
      $0.assumptions = [JSONValue.Member("attention_bias", .bool(false))]
    }
    return family
  }()
}
