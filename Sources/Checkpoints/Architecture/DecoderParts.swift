/// Builds the operations that families have in common, with the names of Hugging Face's checkpoints.
struct DecoderParts {
  let sizes: DecoderSizes
  /// What norms of the stream divide by.
  var normKind = NormDescription.Kind.rootMeanSquare
  /// Added to the weights of norms.
  var normOffset: Float = 0
  /// Whether norms have a bias.
  var normHasBias = false
  /// The order of the rows of queries and keys in a GGUF file.
  var rowOrder = TensorSlot.RowOrder.plain

  init(_ sizes: DecoderSizes) { self.sizes = sizes }

  /// A norm of the stream.
  func norm(_ module: String, gguf: String) -> NormDescription {
    NormDescription(
      TensorSlot(module, gguf: gguf, [sizes.stream], hasBias: normHasBias), kind: normKind,
      offset: normOffset, epsilon: sizes.normEpsilon)
  }

  /// The linears of queries, keys and values, one by one.
  func queriesKeysValues(_ a: AttentionDescription, hasBias: Bool = false) -> LayerOperation {
    .linears(
      .queriesKeysValues,
      [
        TensorSlot(
          "self_attn.q_proj", gguf: "attn_q", [.queries(a), sizes.stream], rowOrder: rowOrder,
          hasBias: hasBias),
        TensorSlot(
          "self_attn.k_proj", gguf: "attn_k", [.keys(a), sizes.stream], rowOrder: rowOrder, hasBias: hasBias),
        TensorSlot("self_attn.v_proj", gguf: "attn_v", [.values(a), sizes.stream], hasBias: hasBias),
      ])
  }

  /// One linear with all queries, then all keys, then all values.
  func joinedQueriesKeysValues(_ a: AttentionDescription) -> LayerOperation {
    .linears(
      .queriesKeysValues,
      [
        TensorSlot(
          "self_attn.qkv_proj", gguf: "attn_qkv",
          [.joined([.queries(a), .keys(a), .values(a)]), sizes.stream])
      ])
  }

  /// Norms of queries and keys: of each head, or of all heads together.
  func queryAndKeyNorms(_ a: AttentionDescription, ofAllHeads: Bool = false) -> LayerOperation {
    func norm(_ name: String, _ columns: Range<Int>) -> HeadNorm {
      let axis = ModelAxis(ofAllHeads ? .other : .head, ofAllHeads ? columns.count : a.headSize)
      return HeadNorm(
        NormDescription(
          TensorSlot("self_attn.\(name)_norm", gguf: "attn_\(name)_norm", [axis]), offset: normOffset,
          epsilon: sizes.normEpsilon),
        columns: columns)
    }
    return .headNorms([
      norm("q", 0..<a.queryWidth), norm("k", a.queryWidth..<a.queryWidth + a.keyValueWidth),
    ])
  }

  /// The linear after attention.
  func attentionOutput(_ a: AttentionDescription, hasBias: Bool = false) -> LayerOperation {
    .linears(
      .attentionOutput,
      [
        TensorSlot("self_attn.o_proj", gguf: "attn_output", [sizes.stream, .attended(a)], hasBias: hasBias)
      ])
  }

  /// Attention with its linears; without `rotary` nothing turns.
  func attention(
    _ a: AttentionDescription, _ rotary: RotaryDescription?, inputsHaveBias: Bool = false,
    outputHasBias: Bool = false, norms: LayerOperation? = nil
  ) -> [LayerOperation] {
    var operations = [queriesKeysValues(a, hasBias: inputsHaveBias)]
    if let norms { operations.append(norms) }
    if let rotary { operations.append(.rotary(rotary)) }
    return operations + [.attention(a), attentionOutput(a, hasBias: outputHasBias)]
  }

  /// The gated feed-forward part without its norm.
  func gatedFeedForward(hasBias: Bool = false) -> [LayerOperation] {
    [
      .linears(
        .gateAndUp,
        [
          TensorSlot(
            "mlp.gate_proj", gguf: "ffn_gate", [sizes.feedForward, sizes.stream], hasBias: hasBias),
          TensorSlot("mlp.up_proj", gguf: "ffn_up", [sizes.feedForward, sizes.stream], hasBias: hasBias),
        ]),
      .gate(sizes.activation), down(hasBias: hasBias),
    ]
  }

  /// The gated feed-forward part, without its norm, whose gate and up are one matrix.
  func joinedGatedFeedForward() -> [LayerOperation] {
    [
      .linears(
        .gateAndUp,
        [
          TensorSlot(
            "mlp.gate_up_proj", gguf: "ffn_up",
            [.joined([sizes.feedForward, sizes.feedForward]), sizes.stream])
        ]),
      .gate(sizes.activation), down(),
    ]
  }

  private func down(hasBias: Bool = false) -> LayerOperation {
    .linears(
      .down,
      [
        TensorSlot("mlp.down_proj", gguf: "ffn_down", [sizes.stream, sizes.feedForward], hasBias: hasBias)
      ])
  }

  /// Attention and the feed-forward part, each with a norm before it.
  func preNorm(_ attention: [LayerOperation], _ feedForward: [LayerOperation]) -> [LayerPart] {
    [
      LayerPart([.norm(norm("input_layernorm", gguf: "attn_norm"))] + attention),
      LayerPart([.norm(norm("post_attention_layernorm", gguf: "ffn_norm"))] + feedForward),
    ]
  }

  /// The tensors outside the layers.
  func model(
    embedding: String = "embed_tokens", finalNorm: String = "norm",
    ggufFinalNorm: String = "output_norm", head: String = "lm_head", layers: [LayerDescription]
  ) -> ModelDescription {
    ModelDescription(
      embedding: TensorSlot(embedding, gguf: "token_embd", [sizes.vocabulary, sizes.stream]),
      layers: layers, finalNorm: norm(finalNorm, gguf: ggufFinalNorm),
      head: TensorSlot(head, gguf: "output", [sizes.vocabulary, sizes.stream]))
  }

  /// The same description for every layer.
  func everyLayer(_ parts: [LayerPart]) -> [LayerDescription] {
    [LayerDescription](repeating: LayerDescription(parts), count: sizes.layerCount)
  }

  /// One description for each layer; layers with an equal `kind` share it.
  func layers<Kind: Equatable>(
    _ kinds: [Kind], _ parts: (Kind) -> [LayerPart]
  ) -> [LayerDescription] {
    var made: [(kind: Kind, layer: LayerDescription)] = []
    return kinds.map { kind in
      if let known = made.first(where: { $0.kind == kind }) { return known.layer }
      let layer = LayerDescription(parts(kind))
      made.append((kind, layer))
      return layer
    }
  }
}
