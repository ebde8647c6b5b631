import Kernels

extension ModelFamily {
  /// Qwen 3.5 and 3.6: three layers with a gated delta net, then one whose attention has a gate.
  package static let qwen3_5: ModelFamily = {
    var family = qwen3_5Like(
      modelType: "qwen3_5_text", className: "Qwen3_5ForCausalLM", ggufArchitecture: "qwen35"
    ) { parts, _ in parts.gatedFeedForward() }
    family.wrappers = ["qwen3_5"]
    family.defaults.keyValueHeadCount = 4
    return family
  }()

  /// Qwen 3.5 and 3.6 with experts, and one that every token uses, as the feed-forward part.
  package static let qwen3_5Moe: ModelFamily = {
    var family = qwen3_5Like(
      modelType: "qwen3_5_moe_text", className: "Qwen3_5MoeForCausalLM", ggufArchitecture: "qwen35moe"
    ) { parts, keys throws(FormatError) in
      [
        try parts.experts(
          keys, DecoderParts.ExpertNames(), count: try DecoderParts.expertCount(keys, missing: 256),
          missingChosenCount: 8, width: parts.sizes.intermediateSize,
          sharedWidth: try keys.optionalSize("shared_expert_intermediate_size") ?? 512,
          weighting: .amongChosen, activation: parts.sizes.activation,
          fusion: ExpertFusion("mlp.experts", order: .outputsFirst))
      ]
    }
    family.wrappers = ["qwen3_5_moe"]
    family.defaults.keyValueHeadCount = 2
    family.defaults.intermediateSize = { keys throws(FormatError) in
      try keys.optionalSize("moe_intermediate_size") ?? 512
    }
    family.understoodKeys.formUnion(["num_experts", "num_local_experts"])
    family.gguf.ownKeys.append(
      .experts(
        GGUFOwnKeys.ExpertNames(
          width: "moe_intermediate_size", sharedWidth: "shared_expert_intermediate_size")))
    family.mlx.aliases = [("num_experts", "num_local_experts")]
    family.mlx.assumptions += [
      JSONValue.Member("num_experts", .integer(256)), JSONValue.Member("num_experts_per_tok", .integer(8)),
      JSONValue.Member("moe_intermediate_size", .integer(512)),
      JSONValue.Member("shared_expert_intermediate_size", .integer(512)),
    ]
    family.mlx.settings = { model throws(MLXObstacle) in
      try model.description.stateKeysForMLX() + [JSONValue.Member("norm_topk_prob", .bool(true))]
    }
    return family
  }()

  /// Layers with a gated delta net or gated attention, and a feed-forward part without its norm.
  private static func qwen3_5Like(
    modelType: String, className: String, ggufArchitecture: String,
    feedForward:
      @escaping @Sendable (DecoderParts, ConfigurationKeys) throws(FormatError) -> [LayerOperation]
  ) -> ModelFamily {
    var family = ModelFamily(
      modelType: modelType, className: className, ggufArchitecture: ggufArchitecture
    ) { sizes, keys throws(FormatError) in
      var parts = DecoderParts(sizes)
      parts.normOffset = 1
      let usual = parts
      let net = try DeltaNetDescription(keys, sizes)
      let turnedCount = try keys.turnedCount(headSize: sizes.headSize, share: 0.25)
      let rotary = RotaryDescription(
        sizes.attention, turnedCount: turnedCount,
        parameters: try RotaryParameters(
          keys, sizes, turnedCount: turnedCount, understood: ["partial_rotary_factor"]))
      let hasBias = try keys.optionalBool("attention_bias") ?? false
      let feedForward = try feedForward(usual, keys)
      return parts.model(
        layers: parts.layers(try keys.layersWithState(sizes.layerCount)) { hasState in
          [
            LayerPart(
              [.norm(usual.norm("input_layernorm", gguf: "attn_norm"))]
                + (hasState ? usual.deltaNet(net) : usual.gatedAttention(rotary, hasBias: hasBias))),
            LayerPart(
              [.norm(usual.norm("post_attention_layernorm", gguf: "post_attention_norm"))]
                + feedForward),
          ]
        })
    }
    family.defaults.headSize = 256
    family.defaults.contextLength = 32_768
    family.understoodKeys = [
      "attention_bias", "layer_types", "full_attention_interval", "partial_rotary_factor",
      "linear_conv_kernel_dim", "linear_key_head_dim", "linear_value_head_dim", "linear_num_key_heads",
      "linear_num_value_heads",
    ]
    family.gguf.hasOwnHeadSize = true
    family.gguf.turnedShareKey = "partial_rotary_factor"
    family.gguf.ownKeys = [.deltaNets]
    family.mlx = MLXProgram {
      $0.isNested = true
      $0.rotaryKeys = .parameters
      $0.shareKey = "partial_rotary_factor"
      $0.assumptions = [
        JSONValue.Member("attention_bias", .bool(false)),
        JSONValue.Member("linear_num_key_heads", .integer(16)),
        JSONValue.Member("linear_num_value_heads", .integer(32)),
        JSONValue.Member("linear_key_head_dim", .integer(128)),
        JSONValue.Member("linear_value_head_dim", .integer(128)),
        JSONValue.Member("linear_conv_kernel_dim", .integer(4)),
      ]
      $0.settings = { model throws(MLXObstacle) in try model.description.stateKeysForMLX() }
    }
    return family
  }
}

extension ModelDescription {
  /// The keys from which mlx-lm knows the layers with a state: all but every n-th.
  ///
  /// - Throws: `MLXObstacle` when other layers have one, or a convolution has one tap.
  fileprivate func stateKeysForMLX() throws(MLXObstacle) -> [JSONValue.Member] {
    let nets = layers.map { layer -> DeltaNetDescription? in
      for case .recurrence(.deltaNet(let net)) in layer.parts.flatMap(\.operations) { return net }
      return nil
    }
    let interval = (nets.firstIndex(of: nil) ?? 0) + 1
    guard interval > 1, nets.indices.allSatisfy({ (($0 + 1) % interval == 0) == (nets[$0] == nil) }) else {
      throw MLXObstacle("key 'layer_types'", "has states in all layers but every n-th")
    }
    // mlx-lm adds 1 to the norms of files whose last axis of the taps is not 1.
    guard nets.allSatisfy({ $0.map { $0.tapCount > 1 } ?? true }) else {
      throw MLXObstacle("key 'linear_conv_kernel_dim'", "takes norms for those of '1 + w' if it is 1")
    }
    return [JSONValue.Member("full_attention_interval", .integer(interval))]
  }
}

extension ConfigurationKeys {
  /// Whether each layer has a state instead of attention.
  fileprivate func layersWithState(_ count: Int) throws(FormatError) -> [Bool] {
    let interval = try optionalSize("full_attention_interval") ?? 4
    return try layers(count, ofKind: "linear_attention") { ($0 + 1) % interval != 0 }
  }
}

extension DeltaNetDescription {
  /// Reads the keys that begin with `linear_`.
  ///
  /// - Throws: `FormatError` with the key.
  fileprivate init(_ keys: ConfigurationKeys, _ sizes: DecoderSizes) throws(FormatError) {
    let limit = 1 << 16
    func size(_ name: String, _ missing: Int) throws(FormatError) -> Int {
      try keys.optionalSize(name, limit: limit) ?? missing
    }
    keyHeadCount = try size("linear_num_key_heads", 16)
    valueHeadCount = try size("linear_num_value_heads", 32)
    keyHeadSize = try size("linear_key_head_dim", 128)
    valueHeadSize = try size("linear_value_head_dim", 128)
    let tapCount = try size("linear_conv_kernel_dim", 4)
    guard valueHeadCount % keyHeadCount == 0 else {
      throw keys.malformed(
        "linear_num_key_heads", "\(keyHeadCount) does not divide linear_num_value_heads, \(valueHeadCount)")
    }
    let widest = max(keyHeadCount * keyHeadSize, valueHeadCount * valueHeadSize)
    guard widest <= ConfigurationKeys.sizeLimit else {
      throw keys.malformed(
        "linear_num_value_heads", "the heads are wider than \(ConfigurationKeys.sizeLimit)")
    }
    guard sizes.activation == .silu else {
      throw keys.unsupported("hidden_act", "layers with a state are supported with 'silu' only")
    }
    let channels = 2 * keyHeadCount * keyHeadSize + valueHeadCount * valueHeadSize
    let heads = ModelAxis(.other, valueHeadCount)
    let (groupCount, headsPerGroup) = (keyHeadCount, valueHeadCount / keyHeadCount)
    func tiling(start: Int, headSize: Int) -> HeadTiling {
      HeadTiling(start: start, groupCount: groupCount, headsPerGroup: headsPerGroup, headSize: headSize)
    }
    var (channelForm, decayForm, stepForm) = (GGUFForm(), GGUFForm(), GGUFForm())
    channelForm.rowTiling = tiling(start: 2 * keyHeadCount * keyHeadSize, headSize: valueHeadSize)
    decayForm.rowTiling = tiling(start: 0, headSize: 1)
    decayForm.values = .negativeExponential
    decayForm.ending = ""
    stepForm.rowTiling = tiling(start: 0, headSize: 1)
    stepForm.ending = ModuleTensor.bias.rawValue
    convolution = TensorSlot(
      "linear_attn.conv1d", gguf: "ssm_conv1d",
      [ModelAxis(.other, channels), ModelAxis(.other, 1), ModelAxis(.other, tapCount)],
      ggufForm: channelForm)
    logDecay = TensorSlot("linear_attn.A_log", gguf: "ssm_a", [heads], ending: "", ggufForm: decayForm)
    stepBias = TensorSlot("linear_attn.dt_bias", gguf: "ssm_dt", [heads], ending: "", ggufForm: stepForm)
    norm = NormDescription(
      TensorSlot("linear_attn.norm", gguf: "ssm_norm", [ModelAxis(.other, valueHeadSize)]),
      epsilon: sizes.normEpsilon)
  }
}

extension DeltaNetDescription {
  /// The heads of values in a GGUF file, which has them in another order: those that read the same queries and
  /// keys are not together.
  fileprivate func valueTiling(start: Int, headSize: Int) -> HeadTiling {
    HeadTiling(
      start: start, groupCount: keyHeadCount, headsPerGroup: valueHeadCount / keyHeadCount,
      headSize: headSize)
  }
}

extension DecoderParts {
  /// A gated delta net with its linears.
  fileprivate func deltaNet(_ net: DeltaNetDescription) -> [LayerOperation] {
    func input(
      _ name: String, gguf: String, _ rows: Int, _ tiling: HeadTiling, isQuantizable: Bool = true
    ) -> TensorSlot {
      var form = GGUFForm()
      form.rowTiling = tiling
      return TensorSlot(
        "linear_attn.in_proj_\(name)", gguf: gguf, [ModelAxis(.other, rows), sizes.stream],
        isQuantizable: isQuantizable, ggufForm: form)
    }
    var outputForm = GGUFForm()
    outputForm.columnTiling = net.valueTiling(start: 0, headSize: net.valueHeadSize)
    return [
      .linears(
        .mixerInputs,
        [
          input(
            "qkv", gguf: "attn_qkv", net.channelCount,
            net.valueTiling(start: 2 * net.keyWidth, headSize: net.valueHeadSize)),
          input(
            "z", gguf: "attn_gate", net.valueWidth, net.valueTiling(start: 0, headSize: net.valueHeadSize)),
          input(
            "b", gguf: "ssm_beta", net.valueHeadCount, net.valueTiling(start: 0, headSize: 1),
            isQuantizable: false),
          input(
            "a", gguf: "ssm_alpha", net.valueHeadCount, net.valueTiling(start: 0, headSize: 1),
            isQuantizable: false),
        ]),
      .recurrence(.deltaNet(net)),
      .linears(
        .mixerOutput,
        [
          TensorSlot(
            "linear_attn.out_proj", gguf: "ssm_out", [sizes.stream, ModelAxis(.other, net.valueWidth)],
            ggufForm: outputForm)
        ]),
    ]
  }

  /// Attention whose result is multiplied by the sigmoid of a gate; the gate of each head follows its query.
  ///
  /// The gate has a place for each column of a head, so the heads cannot be rotated.
  fileprivate func gatedAttention(_ rotary: RotaryDescription, hasBias: Bool) -> [LayerOperation] {
    var attention = sizes.attention
    attention.isGated = true
    let (headSize, both) = (attention.headSize, 2 * attention.queryWidth)
    func linear(_ name: String, gguf: String, _ axes: [ModelAxis]) -> TensorSlot {
      TensorSlot("self_attn.\(name)_proj", gguf: gguf, axes, hasBias: hasBias)
    }
    let values = ModelAxis(.other, attention.keyValueWidth)
    func heads(from start: Int) -> [Range<Int>] {
      (0..<attention.headCount).map { 2 * $0 * headSize + start..<2 * $0 * headSize + start + headSize }
    }
    return [
      .linears(
        .queriesKeysValues,
        [
          linear("q", gguf: "attn_q", [ModelAxis(.other, both), sizes.stream]),
          linear("k", gguf: "attn_k", [.keys(attention), sizes.stream]),
          linear("v", gguf: "attn_v", [values, sizes.stream]),
        ]),
      .columns(heads(from: 0) + [both..<both + 2 * attention.keyValueWidth] + heads(from: headSize)),
      queryAndKeyNorms(attention), .rotary(rotary), .attention(attention),
      .linears(
        .attentionOutput,
        [linear("o", gguf: "attn_output", [sizes.stream, ModelAxis(.other, attention.queryWidth)])]),
    ]
  }
}
