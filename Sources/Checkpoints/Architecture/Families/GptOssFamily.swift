import Kernels

extension ModelFamily {
  /// gpt-oss: biases everywhere, sinks of attention, a window in every other layer, and experts whose gates
  /// are clamped.
  package static let gptOss: ModelFamily = {
    var family = ModelFamily(
      modelType: "gpt_oss", className: "GptOssForCausalLM", ggufArchitecture: "gpt-oss"
    ) { sizes, keys throws(FormatError) in
      let parts = DecoderParts(sizes)
      let window = try keys.window(missing: 128)
      let windowed = try keys.windowedLayers(sizes.layerCount) { $0 % 2 == 0 }
      let rotary = RotaryDescription(
        sizes.attention,
        parameters: try RotaryParameters(keys.withRotaryOfGptOss, sizes, theta: 150_000))
      let hasBias = try keys.optionalBool("attention_bias") ?? true
      let experts = try parts.experts(
        keys, DecoderParts.ExpertNames(router: "mlp.router", stack: "mlp.experts"),
        count: try DecoderParts.expertCount(keys, missing: 128), missingChosenCount: 4,
        width: sizes.intermediateSize, weighting: .amongChosen,
        activation: .clampedSiLU(limit: try keys.gateLimit), hasBias: true,
        fusion: ExpertFusion("mlp.experts", order: .inputsFirst))
      return parts.model(
        layers: parts.layers(windowed) { isWindowed in
          var attention = sizes.attention.with(window: isWindowed ? window : nil)
          attention.sinks = TensorSlot(
            "self_attn.sinks", gguf: "attn_sinks", [ModelAxis(.other, sizes.headCount)], ending: "")
          return [
            LayerPart(
              [.norm(parts.norm("input_layernorm", gguf: "attn_norm"))]
                + parts.attention(attention, rotary, inputsHaveBias: hasBias, outputHasBias: hasBias)),
            LayerPart([
              .norm(parts.norm("post_attention_layernorm", gguf: "post_attention_norm")), experts,
            ]),
          ]
        })
    }
    family.defaults.keyValueHeadCount = 8
    family.defaults.headSize = 64
    family.defaults.epsilon = 1e-5
    family.defaults.contextLength = 131_072
    family.understoodKeys = [
      "attention_bias", "sliding_window", "layer_types", "num_local_experts", "num_experts",
    ]
    family.mlx = MLXProgram {
      $0.windows = .layerTypes
      $0.heads = .ownOnly
      $0.biases = .described
      $0.gateLimit = 7
    }
    family.gguf.hasOwnHeadSize = true
    family.gguf.requiresHead = true
    family.gguf.windows = .allButEvery(2)
    family.gguf.biases = [.queriesKeysValues, .attentionOutput]
    family.gguf.expertsHaveBiases = true
    family.gguf.leavesYarnBounds = true
    family.gguf.ownKeys = [
      .experts(
        GGUFOwnKeys.ExpertNames(count: "num_local_experts", width: "intermediate_size", gateLimit: 7)),
      .requiredBiases,
    ]
    return family
  }()
}

extension ConfigurationKeys {
  /// The keys with the scaling of positions that gpt-oss assumes if none is stated.
  fileprivate var withRotaryOfGptOss: ConfigurationKeys {
    guard value("rope_scaling") == nil, value("rope_parameters") == nil else { return self }
    var json = json
    json.set(
      "rope_scaling",
      to: .object([
        JSONValue.Member("rope_type", .string("yarn")), JSONValue.Member("factor", .double(32)),
        JSONValue.Member("beta_fast", .double(32)), JSONValue.Member("beta_slow", .double(1)),
        JSONValue.Member("truncate", .bool(false)),
        JSONValue.Member("original_max_position_embeddings", .integer(4096)),
      ]))
    return ConfigurationKeys(json: json, path: path, prefix: prefix)
  }

  /// The bound of gates and of what they multiply.
  ///
  /// - Throws: `FormatError` when it is not positive, or the gates have another steepness than the kernels.
  fileprivate var gateLimit: Float {
    get throws(FormatError) {
      if let steepness = try optionalNumber("swiglu_alpha"), steepness != 1.702 {
        throw unsupported("swiglu_alpha", "gates of steepness \(steepness) are not supported; 1.702 is")
      }
      let limit = Float(try optionalNumber("swiglu_limit") ?? 7)
      guard limit > 0, limit.isFinite else { throw malformed("swiglu_limit", "must be more than 0") }
      return limit
    }
  }
}
