extension ModelFamily {
  /// LFM2: short convolutions between gates, and attention in some layers.
  package static let lfm2: ModelFamily = {
    var family = ModelFamily(
      modelType: "lfm2", className: "Lfm2ForCausalLM", ggufArchitecture: "lfm2"
    ) { sizes, keys throws(FormatError) in
      let parts = DecoderParts(sizes)
      let rotary = RotaryDescription(
        sizes.attention, parameters: try RotaryParameters(keys, sizes, theta: 1_000_000))
      let tapCount = try keys.optionalSize("conv_L_cache", limit: 1 << 10) ?? 3
      let hasBias = try keys.optionalBool("conv_bias") ?? false
      return parts.model(
        finalNorm: "embedding_norm", ggufFinalNorm: "token_embd_norm",
        layers: parts.layers(try keys.convolvedLayers(sizes.layerCount)) { isConvolved in
          [
            LayerPart(
              [.norm(parts.norm("operator_norm", gguf: "attn_norm"))]
                + (isConvolved
                  ? parts.shortConvolution(tapCount: tapCount, hasBias: hasBias)
                  : parts.normedAttention(rotary))),
            LayerPart([.norm(parts.norm("ffn_norm", gguf: "ffn_norm"))] + parts.numberedFeedForward()),
          ]
        })
    }
    family.defaults.epsilonKey = "norm_eps"
    family.defaults.epsilon = 1e-5
    family.defaults.keyValueHeadCount = 8
    family.defaults.contextLength = 128_000
    family.defaults.tiesEmbeddings = true
    family.defaults.tieKeys = ["tie_embedding", "tie_word_embeddings"]
    family.defaults.intermediateSize = { keys throws(FormatError) in try keys.adjustedIntermediateSize() }
    family.understoodKeys = ["conv_L_cache", "conv_bias", "layer_types", "block_ffn_dim_multiplier"]
    // Published files have them; nothing reads them.
    family.ignoredKeys = ["conv_dim", "conv_dim_out", "conv_use_xavier_init"]
    family.gguf.listedSizes = [GGUFKeyNames.keyValueHeadCount]
    family.gguf.ownKeys = [.shortConvolutions]
    family.mlx = MLXProgram {
      $0.heads = .embeddingOnly
      $0.scalings = .none
      $0.readsHeadSize = false
      $0.assumptions = [
        JSONValue.Member("conv_bias", .bool(false)), JSONValue.Member("conv_L_cache", .integer(3)),
        JSONValue.Member("block_multiple_of", .integer(256)),
        JSONValue.Member("block_ffn_dim_multiplier", .double(1)),
      ]
      $0.settings = { model throws(MLXObstacle) in try model.convolutionKeysForMLX() }
    }
    return family
  }()
}

extension ModelConfiguration {
  /// The widths and the layers with attention, as mlx-lm requires them.
  ///
  /// - Throws: `MLXObstacle` when all layers are of one kind.
  fileprivate func convolutionKeysForMLX() throws(MLXObstacle) -> [JSONValue.Member] {
    let attending = description.layers.indices.filter { layer in
      description.layers[layer].parts.flatMap(\.operations).contains {
        if case .attention = $0 { true } else { false }
      }
    }
    guard !attending.isEmpty, attending.count < layerCount else {
      throw MLXObstacle("key 'layer_types'", "needs layers with attention and layers without")
    }
    return [
      JSONValue.Member("block_dim", .integer(hiddenSize)),
      JSONValue.Member("block_auto_adjust_ff_dim", .bool(false)),
      JSONValue.Member("block_ff_dim", .integer(intermediateSize)),
      JSONValue.Member("full_attn_idxs", .array(attending.map { .integer($0) })),
    ]
  }
}

extension ConfigurationKeys {
  /// Whether each layer has a convolution instead of attention.
  ///
  /// - Throws: `FormatError` when a list is malformed.
  fileprivate func convolvedLayers(_ count: Int) throws(FormatError) -> [Bool] {
    let name = "full_attn_idxs"
    guard let value = value(name) else { return try layers(count, ofKind: "conv") { _ in false } }
    guard let attending = value.array, attending.allSatisfy({ $0.integer.map { $0 >= 0 } ?? false }) else {
      throw malformed(name, "must be a list of layers")
    }
    return try layers(count, ofKind: "conv") { layer in !attending.contains { $0.integer == layer } }
  }

  /// The width inside the feed-forward part: two thirds of the stated one, times a factor, rounded up to a
  /// multiple, unless `block_auto_adjust_ff_dim` is false.
  ///
  /// - Throws: `FormatError` with the key.
  fileprivate func adjustedIntermediateSize() throws(FormatError) -> Int {
    let usual = try optionalSize("intermediate_size")
    let stated = try optionalSize("block_ff_dim") ?? usual ?? 12_288
    guard try optionalBool("block_auto_adjust_ff_dim") ?? true else { return stated }
    let twoThirds = 2 * stated / 3
    let key = "block_ffn_dim_multiplier"
    if has(key), value(key) == nil { return max(twoThirds, 1) }
    let factor = has(key) ? try self.factor(key) : 1
    let multiple = try optionalSize("block_multiple_of") ?? 256
    let scaled = (factor * Double(twoThirds)).rounded(.towardZero)
    guard scaled >= 1, scaled <= Double(Self.sizeLimit) else {
      throw malformed(key, "gives a width that is not from 1 to \(Self.sizeLimit)")
    }
    let size = (Int(scaled) + multiple - 1) / multiple * multiple
    guard size <= Self.sizeLimit else {
      throw malformed("block_multiple_of", "gives a width of more than \(Self.sizeLimit)")
    }
    return size
  }
}

extension DecoderParts {
  /// A convolution between two gates, with its linears.
  fileprivate func shortConvolution(tapCount: Int, hasBias: Bool) -> [LayerOperation] {
    let width = sizes.hiddenSize
    let columns = ModelAxis(.other, width)
    let short = ShortConvolutionDescription(
      width: width,
      convolution: TensorSlot(
        "conv.conv", gguf: "shortconv.conv", [columns, ModelAxis(.other, 1), ModelAxis(.other, tapCount)]),
      bias: hasBias
        ? TensorSlot(
          "conv.conv.bias", gguf: "shortconv.conv.bias", [columns], ending: "") : nil)
    return [
      .linears(
        .mixerInputs,
        [
          TensorSlot(
            "conv.in_proj", gguf: "shortconv.in_proj", [ModelAxis(.other, 3 * width), sizes.stream],
            hasBias: hasBias)
        ]),
      .recurrence(.shortConvolution(short)),
      .linears(
        .mixerOutput,
        [TensorSlot("conv.out_proj", gguf: "shortconv.out_proj", [sizes.stream, columns], hasBias: hasBias)]),
    ]
  }

  /// Attention with norms of each query and key.
  fileprivate func normedAttention(_ rotary: RotaryDescription) -> [LayerOperation] {
    let attention = sizes.attention
    func norm(_ name: String, _ columns: Range<Int>) -> HeadNorm {
      HeadNorm(
        NormDescription(
          TensorSlot(
            "self_attn.\(name)_layernorm", gguf: "attn_\(name)_norm", [ModelAxis(.head, attention.headSize)]),
          epsilon: sizes.normEpsilon),
        columns: columns)
    }
    let keys = attention.queryWidth..<attention.queryWidth + attention.keyValueWidth
    return [
      queriesKeysValues(attention),
      .headNorms([norm("q", 0..<attention.queryWidth), norm("k", keys)]),
      .rotary(rotary), .attention(attention),
      .linears(
        .attentionOutput,
        [TensorSlot("self_attn.out_proj", gguf: "attn_output", [sizes.stream, .attended(attention)])]),
    ]
  }

  /// The gated feed-forward part, without its norm, whose linears are numbered.
  fileprivate func numberedFeedForward() -> [LayerOperation] {
    [
      .linears(
        .gateAndUp,
        [
          TensorSlot("feed_forward.w1", gguf: "ffn_gate", [sizes.feedForward, sizes.stream]),
          TensorSlot("feed_forward.w3", gguf: "ffn_up", [sizes.feedForward, sizes.stream]),
        ]),
      .gate(sizes.activation),
      .linears(.down, [TensorSlot("feed_forward.w2", gguf: "ffn_down", [sizes.stream, sizes.feedForward])]),
    ]
  }
}
