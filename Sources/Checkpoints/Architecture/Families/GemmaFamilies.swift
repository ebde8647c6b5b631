import Foundation

extension ModelFamily {
  /// Gemma 1: Llama with norms of `1 + w`, scaled embeddings and a gate of `gelu`.
  package static let gemma: ModelFamily = {
    var family = gemmaLike(
      modelType: "gemma", className: "GemmaForCausalLM", ggufArchitecture: "gemma"
    ) { sizes, keys throws(FormatError) in
      let parts = DecoderParts.gemma(sizes)
      let rotary = RotaryDescription(sizes.attention, parameters: try RotaryParameters(keys, sizes))
      let hasBias = try keys.optionalBool("attention_bias") ?? false
      return parts.gemmaModel(
        parts.everyLayer(
          parts.preNorm(
            parts.attention(sizes.attention, rotary, inputsHaveBias: hasBias, outputHasBias: hasBias),
            parts.gatedFeedForward())))
    }
    // transformers computes the approximation, whatever `hidden_act` says.
    family.defaults.ignoredActivationKeys = ["hidden_act"]
    family.defaults.keyValueHeadCount = 16
    family.defaults.contextLength = 8192
    family.understoodKeys = ["attention_bias"]
    family.gguf.hasOwnHeadSize = true
    family.mlx = MLXProgram {
      $0.heads = .embeddingOnly
      $0.scalings = .none
      $0.biases = .none
    }
    return family
  }()

  /// Gemma 2: also norms after each part, bounded scores and logits, and windows in every second layer.
  package static let gemma2: ModelFamily = {
    var family = gemmaLike(
      modelType: "gemma2", className: "Gemma2ForCausalLM", ggufArchitecture: "gemma2"
    ) { sizes, keys throws(FormatError) in
      let parts = DecoderParts.gemma(sizes)
      let window = try keys.window(missing: 4096)
      let windowed = try keys.windowedLayers(sizes.layerCount) { $0 % 2 == 0 }
      var attention = try gemmaAttention(sizes, keys)
      attention.scoreCap = try keys.bound("attn_logit_softcapping", missing: 50)
      let rotary = RotaryDescription(sizes.attention, parameters: try RotaryParameters(keys, sizes))
      let hasBias = try keys.optionalBool("attention_bias") ?? false
      let plain = attention
      var model = parts.gemmaModel(
        parts.layers(windowed) { isWindowed in
          parts.sandwich(
            parts.attention(
              plain.with(window: isWindowed ? window : nil), rotary, inputsHaveBias: hasBias,
              outputHasBias: hasBias))
        })
      model.logitCap = try keys.bound("final_logit_softcapping", missing: 30)
      return model
    }
    family.defaults.keyValueHeadCount = 4
    family.defaults.contextLength = 8192
    family.understoodKeys = [
      "attention_bias", "sliding_window", "layer_types", "attn_logit_softcapping", "final_logit_softcapping",
      "query_pre_attn_scalar",
    ]
    family.gguf.hasOwnHeadSize = true
    family.gguf.windows = .allButEvery(2)
    family.gguf.streamScaledLayerCount = 46
    family.gguf.requiresCaps = true
    family.gguf.numbers = [
      .init("attn_logit_softcapping", "attn_logit_softcapping"),
      .init("final_logit_softcapping", "final_logit_softcapping"),
    ]
    family.mlx = MLXProgram {
      $0.heads = .embeddingOnly
      $0.scalings = .none
      $0.biases = .none
      $0.boundsLogits = true
      $0.assumptions = [JSONValue.Member("query_pre_attn_scalar", .integer(256))]
    }
    return family
  }()

  /// Gemma 3: the norms of Gemma 2, norms of queries and keys, and other wavelengths in windowed layers.
  package static let gemma3: ModelFamily = {
    var family = gemmaLike(
      modelType: "gemma3_text", className: "Gemma3ForCausalLM", ggufArchitecture: "gemma3"
    ) { sizes, keys throws(FormatError) in
      let parts = DecoderParts.gemma(sizes)
      let window = try keys.window(missing: 4096)
      let windowed = try keys.gemma3WindowedLayers(sizes.layerCount)
      let attention = try gemmaAttention(sizes, keys)
      let global = RotaryDescription(
        sizes.attention,
        parameters: try RotaryParameters(global: keys, sizes, theta: 1_000_000))
      let local = RotaryDescription(
        sizes.attention,
        parameters: try RotaryParameters(
          windowed: keys, sizes, theta: 10_000, baseKey: "rope_local_base_freq"))
      let hasBias = try keys.optionalBool("attention_bias") ?? false
      var model = parts.gemmaModel(
        parts.layers(windowed) { isWindowed in
          parts.sandwich(
            parts.attention(
              attention.with(window: isWindowed ? window : nil), isWindowed ? local : global,
              inputsHaveBias: hasBias, outputHasBias: hasBias, norms: parts.queryAndKeyNorms(attention)))
        })
      model.logitCap = try keys.bound("final_logit_softcapping", missing: nil)
      return model
    }
    family.wrappers = ["gemma3"]
    family.defaults.keyValueHeadCount = 4
    family.defaults.contextLength = 131_072
    family.understoodKeys = [
      "attention_bias", "sliding_window", "layer_types", "final_logit_softcapping", "query_pre_attn_scalar",
      "sliding_window_pattern", "_sliding_window_pattern", "rope_local_base_freq",
    ]
    family.ignoredKeys = ["attn_logit_softcapping"]
    family.gguf.hasOwnHeadSize = true
    family.gguf.windows = .allButEvery(6)
    family.gguf.streamScaledLayerCount = 62
    family.gguf.windowedBaseKey = "rope_local_base_freq"
    family.gguf.windowedBase = 10_000
    family.gguf.numbers = [.init("final_logit_softcapping", "final_logit_softcapping")]
    family.gguf.fixedMembers = [.init("sliding_window_pattern", .integer(6))]
    family.mlx = MLXProgram {
      $0.windows = .pattern
      $0.biases = .none
      $0.boundsLogits = false
      $0.nestedPrefixes = ["language_model.model."]
      $0.windowedThetaKey = "rope_local_base_freq"
      $0.assumptions = [JSONValue.Member("query_pre_attn_scalar", .integer(256))]
    }
    return family
  }()

  static func gemmaLike(
    modelType: String, className: String, ggufArchitecture: String,
    describe:
      @escaping @Sendable (DecoderSizes, ConfigurationKeys) throws(FormatError) -> ModelDescription
  ) -> ModelFamily {
    var family = ModelFamily(
      modelType: modelType, className: className, ggufArchitecture: ggufArchitecture, describe: describe)
    family.defaults.activationKey = "hidden_activation"
    family.defaults.activation = "gelu_pytorch_tanh"
    family.defaults.headSize = 256
    family.defaults.tiesEmbeddings = true
    return family
  }

  /// Attention whose scores are multiplied by `query_pre_attn_scalar` to the power of -1/2.
  private static func gemmaAttention(
    _ sizes: DecoderSizes, _ keys: ConfigurationKeys
  ) throws(FormatError) -> AttentionDescription {
    var attention = sizes.attention
    let name = "query_pre_attn_scalar"
    let scalar = try keys.optionalNumber(name) ?? 256
    guard scalar > 0 else { throw keys.malformed(name, "must be more than 0") }
    attention.scale = Float(pow(scalar, -0.5))
    return attention
  }
}

extension DecoderParts {
  fileprivate static func gemma(_ sizes: DecoderSizes) -> DecoderParts {
    var parts = DecoderParts(sizes)
    parts.normOffset = 1
    return parts
  }

  /// Attention and feed-forward, each with a norm before and after it.
  func sandwich(_ attention: [LayerOperation]) -> [LayerPart] {
    [
      LayerPart(
        [.norm(norm("input_layernorm", gguf: "attn_norm"))] + attention
          + [.norm(norm("post_attention_layernorm", gguf: "post_attention_norm"))]),
      LayerPart(
        [.norm(norm("pre_feedforward_layernorm", gguf: "ffn_norm"))] + gatedFeedForward()
          + [.norm(norm("post_feedforward_layernorm", gguf: "post_ffw_norm"))]),
    ]
  }

  func gemmaModel(_ layers: [LayerDescription]) -> ModelDescription {
    var description = model(layers: layers)
    description.embeddingScale = Float(sizes.hiddenSize).squareRoot()
    return description
  }
}

extension ConfigurationKeys {
  /// The bound of scores or logits: nil for null, `missing` if the key is not there.
  func bound(_ name: String, missing: Float?) throws(FormatError) -> Float? {
    guard has(name) else { return missing }
    guard let number = try optionalNumber(name) else { return nil }
    guard number > 0 else { throw malformed(name, "must be more than 0") }
    return Float(number)
  }

  /// The windowed layers of Gemma 3: all but every sixth one, or as stated.
  fileprivate func gemma3WindowedLayers(_ count: Int) throws(FormatError) -> [Bool] {
    let names = ["sliding_window_pattern", "_sliding_window_pattern"]
    var pattern = 6
    if let name = names.first(where: { value($0) != nil }), let stated = try optionalSize(name) {
      pattern = stated
    }
    return try windowedLayers(count) { ($0 + 1) % pattern != 0 }
  }
}
