extension ModelFamily {
  /// Mixtral: Mistral's attention, with experts as the feed-forward part.
  package static let mixtral: ModelFamily = {
    var family = ModelFamily(
      modelType: "mixtral", className: "MixtralForCausalLM", ggufArchitecture: "llama"
    ) { sizes, keys throws(FormatError) in
      var parts = DecoderParts(sizes)
      parts.rowOrder = .rotaryPairs
      let attention = sizes.attention.with(window: try keys.window(missing: nil))
      let rotary = RotaryDescription(
        attention, parameters: try RotaryParameters(keys, sizes, theta: 1_000_000))
      let experts = try parts.experts(
        keys,
        DecoderParts.ExpertNames(
          module: "block_sparse_moe.experts", linears: ["w1", "w3", "w2"], router: "block_sparse_moe.gate",
          stack: "block_sparse_moe.switch_mlp"),
        count: try DecoderParts.expertCount(keys, missing: 8), missingChosenCount: 2,
        width: sizes.intermediateSize, weighting: .amongChosen, activation: sizes.activation)
      return parts.model(
        layers: parts.everyLayer(parts.preNorm(parts.attention(attention, rotary), [experts])))
    }
    family.defaults.keyValueHeadCount = 8
    family.defaults.epsilon = 1e-5
    family.defaults.contextLength = 131_072
    family.understoodKeys = ["sliding_window", "num_local_experts", "num_experts"]
    family.mlx = MLXProgram {
      $0.scalings = .none
      $0.biases = .none
      $0.readsHeadSize = false
      $0.aliases = [("num_local_experts", "num_experts")]
    }
    family.gguf.hasOwnHeadSize = true
    family.gguf.holdsDivisors = true
    family.gguf.ownKeys = [.experts(GGUFOwnKeys.ExpertNames(count: "num_local_experts"))]
    family.gguf.identifyingKey = GGUFKeyNames.expertCount
    return family
  }()
}
