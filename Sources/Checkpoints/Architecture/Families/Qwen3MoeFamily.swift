extension ModelFamily {
  /// Qwen 3 with experts as the feed-forward part of most layers.
  package static let qwen3Moe: ModelFamily = {
    var family = ModelFamily(
      modelType: "qwen3_moe", className: "Qwen3MoeForCausalLM", ggufArchitecture: "qwen3moe"
    ) { sizes, keys throws(FormatError) in
      let parts = DecoderParts(sizes)
      let rotary = RotaryDescription(sizes.attention, parameters: try RotaryParameters(keys, sizes))
      let isWindowed = try keys.optionalBool("use_sliding_window") ?? false
      let window = isWindowed ? try keys.window(missing: 4096) : nil
      let hasBias = try keys.optionalBool("attention_bias") ?? false
      let isNormalized = try keys.optionalBool("norm_topk_prob") ?? false
      let experts = try parts.experts(
        keys, DecoderParts.ExpertNames(), count: try DecoderParts.expertCount(keys, missing: 128),
        missingChosenCount: 8, width: try keys.optionalSize("moe_intermediate_size") ?? 768,
        weighting: isNormalized ? .amongChosen : .amongAll, activation: sizes.activation,
        fusion: ExpertFusion("mlp.experts", order: .outputsFirst))
      let attention = sizes.attention.with(window: window)
      return parts.model(
        layers: parts.layers(try keys.layersWithExperts(sizes.layerCount)) { hasExperts in
          parts.preNorm(
            parts.attention(
              attention, rotary, inputsHaveBias: hasBias, outputHasBias: hasBias,
              norms: parts.queryAndKeyNorms(attention)), (hasExperts ? [experts] : parts.gatedFeedForward()))
        })
    }
    family.defaults.keyValueHeadCount = 4
    family.defaults.contextLength = 32_768
    family.understoodKeys = [
      "attention_bias", "sliding_window", "use_sliding_window", "num_experts", "num_local_experts",
    ]
    family.ignoredKeys = ["max_window_layers"]
    family.mlx = MLXProgram {
      $0.scalings = .none
      $0.biases = .none
      $0.aliases = [("num_experts", "num_local_experts")]
      $0.assumptions = [
        JSONValue.Member("num_experts", .integer(128)), JSONValue.Member("num_experts_per_tok", .integer(8)),
        JSONValue.Member("decoder_sparse_step", .integer(1)), JSONValue.Member("mlp_only_layers", .array([])),
        JSONValue.Member("moe_intermediate_size", .integer(768)),
        JSONValue.Member("norm_topk_prob", .bool(false)),
      ]
    }
    family.gguf.hasOwnHeadSize = true
    family.gguf.ownKeys = [
      .experts(
        GGUFOwnKeys.ExpertNames(
          width: "moe_intermediate_size", fixed: [JSONValue.Member("norm_topk_prob", .bool(true))]))
    ]
    return family
  }()
}

extension ConfigurationKeys {
  /// Whether each layer has experts: every `decoder_sparse_step`-th, except those in `mlp_only_layers`.
  ///
  /// - Parameter count: The number of layers.
  /// - Returns: As many as there are layers.
  /// - Throws: `FormatError` when a key is no number or no list of layers.
  fileprivate func layersWithExperts(_ count: Int) throws(FormatError) -> [Bool] {
    let step = try optionalSize("decoder_sparse_step") ?? 1
    let name = "mlp_only_layers"
    var dense: Set<Int> = []
    if let value = value(name) {
      guard let list = value.array else { throw malformed(name, "must be a list of layers") }
      for item in list {
        guard let layer = item.integer, layer >= 0 else { throw malformed(name, "must be a list of layers") }
        dense.insert(layer)
      }
    }
    return (0..<count).map { ($0 + 1) % step == 0 && !dense.contains($0) }
  }
}
