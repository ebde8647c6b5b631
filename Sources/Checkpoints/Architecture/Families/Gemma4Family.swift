extension ModelFamily {
  /// Gemma 4: other heads in layers that see the whole context, normalized values, and a factor per layer; in
  /// small models also inputs per layer, and upper layers without keys and values of their own; in others
  /// experts beside the feed-forward part.
  package static let gemma4: ModelFamily = {
    var family = gemmaLike(
      modelType: "gemma4_text", className: "Gemma4ForCausalLM", ggufArchitecture: "gemma4"
    ) { sizes, keys throws(FormatError) in
      try keys.refuseOtherGemma4()
      let parts = DecoderParts(sizes)
      let inputWidth = try keys.layerInputWidth(sizes)
      let experts = try parts.gemma4Experts(keys)
      let layers = try keys.gemma4Layers(sizes)
      var model = parts.gemmaModel(
        layers.enumerated().map { index, layer in
          let dense = layer.parts(sizes).sandwich(parts.gemma4Attention(layer))
          let part = inputWidth.map { parts.layerInput(index, width: $0) }
          return LayerDescription(
            (experts.map { [dense[0]] + parts.sideBySide(layer.parts(sizes), $0) } ?? dense)
              + (part.map { [$0] } ?? []),
            streamFactor: TensorSlot(
              "layer_scalar", gguf: "layer_output_scale", [ModelAxis(.other, 1)], ending: ""))
        })
      model.placeholders = try keys.placeholders(sizes)
      model.layerInputs = try inputWidth.map { width throws(FormatError) in
        try parts.layerInputs(width: width, keys)
      }
      model.logitCap = try keys.bound("final_logit_softcapping", missing: nil)
      return model
    }
    family.wrappers = ["gemma4"]
    family.defaults.keyValueHeadCount = 4
    family.defaults.contextLength = 131_072
    family.understoodKeys = [
      "attention_bias", "sliding_window", "layer_types", "final_logit_softcapping", "attention_k_eq_v",
      "use_bidirectional_attention", "enable_moe_block", "num_kv_shared_layers",
      "hidden_size_per_layer_input", "partial_rotary_factor", "use_double_wide_mlp", "num_experts",
      "num_local_experts",
    ]
    family.gguf.hasOwnHeadSize = true
    family.gguf.windows = .listed
    family.gguf.windowedBaseKey = "rope_local_base_freq"
    family.gguf.holdsPairShare = true
    family.gguf.numbers = [
      GGUFConventions.Number("final_logit_softcapping", "final_logit_softcapping")
    ]
    family.gguf.listedSizes = [GGUFKeyNames.keyValueHeadCount, GGUFKeyNames.feedForwardLength]
    family.gguf.ownKeys = [.gemma4]
    family.mlx = MLXProgram {
      $0.windows = .layerTypes
      $0.scalings = .proportional
      $0.biases = .none
      $0.nestedPrefixes = ["model.language_model.", "language_model.model."]
      $0.rotaryKeys = .parametersByKind
      $0.aliases = [("num_experts", "num_local_experts")]
      $0.assumptions = [
        JSONValue.Member("attention_k_eq_v", .bool(false)),
        JSONValue.Member("num_kv_shared_layers", .integer(0)),
        JSONValue.Member("use_double_wide_mlp", .bool(false)),
        JSONValue.Member("vocab_size_per_layer_input", .integer(262_144)),
        JSONValue.Member("final_logit_softcapping", .null),
      ]
      $0.settings = { model throws(MLXObstacle) in try model.layerKeysForMLX() }
    }
    return family
  }()
}

extension ModelConfiguration {
  /// The layers' heads, windows and inputs, as mlx-lm knows them.
  ///
  /// - Throws: `MLXObstacle` when layers of one kind have different heads.
  fileprivate func layerKeysForMLX() throws(MLXObstacle) -> [JSONValue.Member] {
    let layers = description.attentions
    let global = layers.filter { $0.attention.window == nil }
    let headSize = global.first?.attention.headSize ?? sizes.headSize
    let headCount = global.first?.attention.keyValueHeadCount ?? sizes.keyValueHeadCount
    let keysAreValues = description.layers.contains { layer in
      layer.parts.flatMap(\.operations).contains { if case .columns = $0 { true } else { false } }
    }
    let isUniform = global.allSatisfy {
      $0.attention.headSize == headSize && $0.attention.keyValueHeadCount == headCount
        && $0.rotary?.parameters == global[0].rotary?.parameters
    }
    guard isUniform, keysAreValues || headCount == sizes.keyValueHeadCount else {
      throw MLXObstacle("key 'per_layer_config'", "has heads of one kind in all layers that see everything")
    }
    let kinds = layers.map { $0.attention.window == nil ? "full_attention" : "sliding_attention" }
    return [
      JSONValue.Member("layer_types", .array(kinds.map { .string($0) })),
      JSONValue.Member("global_head_dim", .integer(headSize)),
      JSONValue.Member("num_global_key_value_heads", .integer(headCount)),
      JSONValue.Member(
        "hidden_size_per_layer_input",
        .integer((description.layerInputs?.totalWidth ?? 0) / description.layers.count)),
    ]
  }
}

/// The attention of one layer of Gemma 4.
private struct Gemma4Layer {
  var attention: AttentionDescription
  let rotary: RotaryDescription
  /// Whether the keys, before their norm, are the values, too.
  let keysAreValues: Bool
  let hasBias: Bool
  /// Whether the feed-forward part is twice as wide.
  var isDoubleWide = false

  /// The parts of the layer that do not depend on its attention.
  func parts(_ sizes: DecoderSizes) -> DecoderParts {
    var sizes = sizes
    if isDoubleWide { sizes.intermediateSize *= 2 }
    return DecoderParts(sizes)
  }
}

extension ConfigurationKeys {
  /// The keys of the tokens that stand for images and sounds.
  static let placeholderKeys = ["image_token_id", "video_token_id", "audio_token_id"]

  /// The tokens that stand for images and sounds; transformers gives them the embedding of padding.
  fileprivate func placeholders(_ sizes: DecoderSizes) throws(FormatError) -> [Int: Int] {
    guard let padding = try tokens("pad_token_id").first, padding < sizes.vocabularySize else { return [:] }
    var found: [Int: Int] = [:]
    for name in Self.placeholderKeys {
      for token in try tokens(name) { found[token] = padding }
    }
    return found
  }

  fileprivate func refuseOtherGemma4() throws(FormatError) {
    if let kind = try optionalText("use_bidirectional_attention"), kind != "vision" {
      throw unsupported("use_bidirectional_attention", "attention to later tokens is not supported")
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
    return try sharingKeys(layers, windowed)
  }

  /// Gives the upper layers the keys and values of the last layer of the same kind below them.
  private func sharingKeys(
    _ layers: [Gemma4Layer], _ windowed: [Bool]
  ) throws(FormatError) -> [Gemma4Layer] {
    let name = "num_kv_shared_layers"
    guard let value = value(name), value.integer != 0 else { return layers }
    guard let count = value.integer, (1..<layers.count).contains(count) else {
      throw malformed(name, "must be a number of layers below \(layers.count)")
    }
    let isDoubleWide = try optionalBool("use_double_wide_mlp") ?? false
    let first = layers.count - count
    var layers = layers
    for index in first..<layers.count {
      let isLast = !windowed[(index + 1)...].contains(windowed[index])
      guard let source = (0..<first).last(where: { windowed[$0] == windowed[index] }) else {
        throw malformed(name, "no layer has the keys and values of layer \(index)")
      }
      guard layers[source].attention.keyValueWidth == layers[index].attention.keyValueWidth else {
        throw malformed(name, "layers \(source) and \(index) have heads of different widths")
      }
      layers[source].attention.sharing = .lends(source)
      layers[index].attention.sharing = .borrows(source, isLast: isLast)
      layers[index].isDoubleWide = isDoubleWide
    }
    return layers
  }

  /// The width of each layer's input beside the stream; nil without such inputs.
  fileprivate func layerInputWidth(_ sizes: DecoderSizes) throws(FormatError) -> Int? {
    let name = "hidden_size_per_layer_input"
    guard has(name) else { return 256 }
    guard let value = value(name), value.integer != 0 else { return nil }
    return try size(name, limit: Self.sizeLimit / sizes.layerCount)
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
    var inputs = [linear("q", gguf: "attn_q", .queries(a))]
    if !a.borrowsKeys { inputs.append(linear("k", gguf: "attn_k", .keys(a))) }
    if !a.borrowsKeys, !layer.keysAreValues {
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
    if layer.keysAreValues, !a.borrowsKeys { operations.append(.columns([queries, keys, keys])) }
    let otherNorms = [norm("k", keys), norm("v", values, hasWeights: false)]
    operations.append(.headNorms([norm("q", queries)] + (a.borrowsKeys ? [] : otherNorms)))
    return operations + [
      .rotary(a.borrowsKeys ? layer.rotary.withoutKeys : layer.rotary), .attention(a),
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

extension DecoderParts {
  /// The experts beside the feed-forward part; nil without them.
  ///
  /// - Throws: `FormatError` when one of their numbers is missing or cannot be.
  fileprivate func gemma4Experts(_ keys: ConfigurationKeys) throws(FormatError) -> LayerOperation? {
    // Without experts their numbers change nothing.
    guard try keys.optionalBool("enable_moe_block") ?? false else { return nil }
    let count = try Self.expertCount(keys, missing: nil)
    var routing = ExpertsDescription.Routing()
    routing.norm = NormDescription(
      TensorSlot("router.scale", gguf: "ffn_gate_inp.scale", [sizes.stream], ending: ""),
      epsilon: sizes.normEpsilon)
    routing.factor = 1 / Float(sizes.hiddenSize).squareRoot()
    routing.expertFactors = TensorSlot(
      "router.per_expert_scale", gguf: "ffn_down_exps.scale", [ModelAxis(.other, count)], ending: "")
    return try experts(
      keys,
      ExpertNames(
        module: "experts", router: "router.proj", chosenKey: "top_k_experts", stack: "experts.switch_glu"),
      count: count, missingChosenCount: nil, width: keys.size("moe_intermediate_size"), routing: routing,
      norm: norm("pre_feedforward_layernorm_2", gguf: "pre_ffw_norm_2"), weighting: .amongChosen,
      activation: sizes.activation, fusion: ExpertFusion("experts", order: .outputsFirst))
  }

  /// The feed-forward part and experts that read the same stream, each with a norm after it, and a norm of
  /// their sum.
  ///
  /// - Parameters:
  ///   - dense: The parts with the width of the layer's feed-forward part.
  ///   - experts: The experts, with norms before them.
  /// - Returns: The feed-forward part, whose result is held, then the experts.
  fileprivate func sideBySide(_ dense: DecoderParts, _ experts: LayerOperation) -> [LayerPart] {
    [
      LayerPart(
        [.norm(norm("pre_feedforward_layernorm", gguf: "ffn_norm"))] + dense.gatedFeedForward()
          + [.norm(norm("post_feedforward_layernorm_1", gguf: "post_ffw_norm_1"))], isHeld: true),
      LayerPart([
        experts, .norm(norm("post_feedforward_layernorm_2", gguf: "post_ffw_norm_2")), .addHeld,
        .norm(norm("post_feedforward_layernorm", gguf: "post_ffw_norm")),
      ]),
    ]
  }
}

extension DecoderParts {
  /// The part that reads a layer's input beside the stream.
  fileprivate func layerInput(_ index: Int, width: Int) -> LayerPart {
    let inner = ModelAxis(.other, width)
    return LayerPart([
      .linears(
        .layerInputGate, [TensorSlot("per_layer_input_gate", gguf: "inp_gate", [inner, sizes.stream])]),
      .activation(sizes.activation), .layerInput(index * width..<(index + 1) * width),
      .linears(
        .layerInputProjection, [TensorSlot("per_layer_projection", gguf: "proj", [sizes.stream, inner])]),
      .norm(norm("post_per_layer_input_norm", gguf: "post_norm")),
    ])
  }

  /// The inputs of all layers beside the stream.
  ///
  /// - Throws: `FormatError` when some tokens have none.
  fileprivate func layerInputs(
    width: Int, _ keys: ConfigurationKeys
  ) throws(FormatError) -> LayerInputsDescription {
    let name = "vocab_size_per_layer_input"
    let tokenCount = try keys.optionalSize(name) ?? 262_144
    guard tokenCount >= sizes.vocabularySize else {
      throw keys.malformed(name, "must be at least vocab_size, \(sizes.vocabularySize)")
    }
    let all = ModelAxis(.other, sizes.layerCount * width)
    return LayerInputsDescription(
      table: TensorSlot(
        "embed_tokens_per_layer", gguf: "per_layer_token_embd", [ModelAxis(.other, tokenCount), all]),
      tableFactor: Float(width).squareRoot(),
      projection: TensorSlot(
        "per_layer_model_projection", gguf: "per_layer_model_proj", [all, sizes.stream]),
      projectionFactor: 1 / Float(sizes.hiddenSize).squareRoot(),
      norm: NormDescription(
        TensorSlot("per_layer_projection_norm", gguf: "per_layer_proj_norm", [ModelAxis(.other, width)]),
        epsilon: sizes.normEpsilon),
      factor: Float(0.5).squareRoot())
  }
}

extension RotaryDescription {
  /// The same angles for queries alone.
  fileprivate var withoutKeys: RotaryDescription {
    let queries = AttentionDescription(headCount: queryHeadCount, keyValueHeadCount: 0, headSize: headSize)
    return RotaryDescription(queries, turnedCount: turnedCount, parameters: parameters)
  }
}
