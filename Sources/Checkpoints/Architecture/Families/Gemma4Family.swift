extension ModelFamily {
  /// Gemma 4: other heads in layers that see the whole context, normalized values, and a factor per layer.
  package static let gemma4: ModelFamily = {
    var family = gemmaLike(
      modelType: "gemma4_text", className: "Gemma4ForCausalLM", ggufArchitecture: "gemma4"
    ) { sizes, keys throws(FormatError) in
      try keys.refuseOtherGemma4()
      let parts = DecoderParts(sizes)
      let kinds = try keys.gemma4Layers(sizes)
      var model = parts.gemmaModel(
        kinds.map { kind in
          LayerDescription(
            parts.sandwich(parts.gemma4Attention(kind)),
            streamFactor: TensorSlot(
              "layer_scalar", gguf: "layer_output_scale", [ModelAxis(.other, 1)], ending: ""))
        })
      model.logitCap = try keys.bound("final_logit_softcapping", missing: nil)
      return model
    }
    family.wrappers = ["gemma4"]
    family.defaults.keyValueHeadCount = 4
    family.defaults.contextLength = 131_072
    family.understoodKeys = [
      "attention_bias", "sliding_window", "layer_types", "final_logit_softcapping", "attention_k_eq_v",
      "use_bidirectional_attention", "enable_moe_block", "num_kv_shared_layers",
      "hidden_size_per_layer_input", "partial_rotary_factor",
    ]
    // Without experts their numbers change nothing.
    family.ignoredKeys = ["num_experts"]
    return family
  }()
}

/// The attention of one layer of Gemma 4.
private struct Gemma4Layer {
  var attention: AttentionDescription
  let rotary: RotaryDescription
  /// Whether the keys, before their norm, are the values, too.
  let keysAreValues: Bool
  let hasBias: Bool
}

extension ConfigurationKeys {
  fileprivate func refuseOtherGemma4() throws(FormatError) {
    if let kind = try optionalText("use_bidirectional_attention"), kind != "vision" {
      throw unsupported("use_bidirectional_attention", "attention to later tokens is not supported")
    }
    if try optionalBool("enable_moe_block") ?? false {
      throw unsupported("enable_moe_block", "experts beside the feed-forward part are not supported")
    }
  }

  /// The attention of each layer.
  fileprivate func gemma4Layers(_ sizes: DecoderSizes) throws(FormatError) -> [Gemma4Layer] {
    var windowed = try windowedLayers(sizes.layerCount) { ($0 + 1) % 6 != 0 }
    // transformers gives the last layer the whole context, whatever `layer_types` says.
    windowed[sizes.layerCount - 1] = false
    let keysAreValues = try optionalBool("attention_k_eq_v") ?? false
    let hasBias = try optionalBool("attention_bias") ?? false
    var local = sizes.attention
    local.window = try window(missing: 512)
    local.scale = 1
    let hasParameters = value("rope_parameters") != nil || value("rope_scaling") != nil
    let localParameters =
      hasParameters
      ? try RotaryParameters(
        self, contextLength: sizes.contextLength, turnedCount: local.headSize, layerType: "sliding_attention")
      : RotaryParameters(theta: 10_000)
    var layers: [Gemma4Layer] = []
    for index in 0..<sizes.layerCount {
      guard !windowed[index] else {
        layers.append(
          Gemma4Layer(
            attention: local, rotary: RotaryDescription(local, parameters: localParameters),
            keysAreValues: false, hasBias: hasBias))
        continue
      }
      let global = try globalAttention(layer: index, sizes, keysAreValues: keysAreValues)
      let parameters =
        hasParameters
        ? try RotaryParameters(
          self, contextLength: sizes.contextLength, turnedCount: global.headSize, defaultTheta: 1_000_000,
          layerType: "full_attention")
        : RotaryParameters(theta: 1_000_000, scaling: .proportional(ProportionalScaling(share: 0.25)))
      layers.append(
        Gemma4Layer(
          attention: global, rotary: RotaryDescription(global, parameters: parameters),
          keysAreValues: keysAreValues, hasBias: hasBias))
    }
    return layers
  }

  /// The attention of a layer that sees the whole context, which has heads of its own.
  private func globalAttention(
    layer index: Int, _ sizes: DecoderSizes, keysAreValues: Bool
  ) throws(FormatError) -> AttentionDescription {
    var headSize = try optionalSize("global_head_dim") ?? 512
    var headCount = sizes.keyValueHeadCount
    if keysAreValues, let count = try optionalSize("num_global_key_value_heads") { headCount = count }
    if let all = try optionalObject("per_layer_config") {
      (headSize, headCount) = (sizes.headSize, sizes.keyValueHeadCount)
      let own = ConfigurationKeys(json: all, path: path, prefix: prefix + "per_layer_config.")
      if let layer = try own.optionalObject("\(index)") {
        let keys = ConfigurationKeys(json: layer, path: path, prefix: own.prefix + "\(index).")
        headSize = try keys.optionalSize("head_dim") ?? headSize
        headCount = try keys.optionalSize("num_key_value_heads") ?? headCount
      }
    }
    guard headSize % 2 == 0, headSize * sizes.headCount <= Self.sizeLimit else {
      throw malformed("global_head_dim", "\(headSize) is odd, or \(sizes.headCount) such heads are too wide")
    }
    guard sizes.headCount % headCount == 0 else {
      throw malformed(
        "num_global_key_value_heads", "\(headCount) does not divide num_attention_heads, \(sizes.headCount)")
    }
    var attention = AttentionDescription(
      headCount: sizes.headCount, keyValueHeadCount: headCount, headSize: headSize)
    attention.scale = 1
    return attention
  }
}

extension DecoderParts {
  /// Attention with norms of queries, keys and values; values have no weights in their norm.
  ///
  /// The heads cannot be rotated, because their widths differ and keys can be values.
  fileprivate func gemma4Attention(_ layer: Gemma4Layer) -> [LayerOperation] {
    let a = layer.attention
    let (queries, keys) = (0..<a.queryWidth, a.queryWidth..<a.queryWidth + a.keyValueWidth)
    let values = keys.upperBound..<a.inputWidth
    func linear(_ name: String, gguf: String, _ axis: ModelAxis) -> TensorSlot {
      TensorSlot("self_attn.\(name)_proj", gguf: gguf, [axis, sizes.stream], hasBias: layer.hasBias)
    }
    var inputs = [linear("q", gguf: "attn_q", .queries(a)), linear("k", gguf: "attn_k", .keys(a))]
    if !layer.keysAreValues {
      inputs.append(linear("v", gguf: "attn_v", ModelAxis(.other, a.keyValueWidth)))
    }
    func norm(_ name: String, _ columns: Range<Int>, hasWeights: Bool = true) -> HeadNorm {
      HeadNorm(
        NormDescription(
          TensorSlot("self_attn.\(name)_norm", gguf: "attn_\(name)_norm", [ModelAxis(.head, a.headSize)]),
          epsilon: sizes.normEpsilon, hasWeights: hasWeights),
        columns: columns)
    }
    var operations: [LayerOperation] = [.linears(.queriesKeysValues, inputs)]
    if layer.keysAreValues { operations.append(.columns([queries, keys, keys])) }
    operations.append(
      .headNorms([norm("q", queries), norm("k", keys), norm("v", values, hasWeights: false)]))
    return operations + [
      .rotary(layer.rotary), .attention(a),
      .linears(
        .attentionOutput,
        [
          TensorSlot(
            "self_attn.o_proj", gguf: "attn_output", [sizes.stream, ModelAxis(.other, a.queryWidth)],
            hasBias: layer.hasBias)
        ]),
    ]
  }
}
