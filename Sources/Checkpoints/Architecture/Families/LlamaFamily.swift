extension ModelFamily {
  /// Llama 1 to 3 and models with the same layers: pre-norms, rotary positions, grouped heads, gated
  /// feed-forward.
  package static let llama = llamaLike(modelType: "llama", className: "LlamaForCausalLM")

  /// Mistral: the same as Llama if the attention window is the whole context.
  package static let mistral = llamaLike(
    modelType: "mistral", className: "MistralForCausalLM", defaultKeyValueHeadCount: 8)

  private static func llamaLike(
    modelType: String, className: String, defaultKeyValueHeadCount: Int? = nil
  ) -> ModelFamily {
    ModelFamily(
      modelType: modelType, className: className, ggufArchitecture: "llama", prefixes: ["model.", ""],
      embedding: TensorSlot("embed_tokens", gguf: "token_embd", [.vocabulary, .stream]),
      layers: (module: "layers", gguf: "blk"), layer: llamaLayer,
      finalNorm: TensorSlot("norm", gguf: "output_norm", [.stream]),
      head: TensorSlot("lm_head", gguf: "output", [.vocabulary, .stream]),
      defaultKeyValueHeadCount: defaultKeyValueHeadCount,
      // transformers computes a Llama without a window, whatever these keys say.
      ignoredKeys: modelType == "llama" ? ["sliding_window", "use_sliding_window", "layer_types"] : [])
  }

  private static let llamaLayer = LayerDescription([
    LayerPart([
      .norm(TensorSlot("input_layernorm", gguf: "attn_norm", [.stream])),
      .linears(
        .queriesKeysValues,
        [
          TensorSlot("self_attn.q_proj", gguf: "attn_q", [.queries, .stream], rowOrder: .rotaryPairs),
          TensorSlot("self_attn.k_proj", gguf: "attn_k", [.keys, .stream], rowOrder: .rotaryPairs),
          TensorSlot("self_attn.v_proj", gguf: "attn_v", [.values, .stream]),
        ]),
      .rotary,
      .attention,
      .linears(
        .attentionOutput, [TensorSlot("self_attn.o_proj", gguf: "attn_output", [.stream, .attended])]),
    ]),
    LayerPart([
      .norm(TensorSlot("post_attention_layernorm", gguf: "ffn_norm", [.stream])),
      .linears(
        .gateAndUp,
        [
          TensorSlot("mlp.gate_proj", gguf: "ffn_gate", [.feedForward, .stream]),
          TensorSlot("mlp.up_proj", gguf: "ffn_up", [.feedForward, .stream]),
        ]),
      .gate,
      .linears(.down, [TensorSlot("mlp.down_proj", gguf: "ffn_down", [.stream, .feedForward])]),
    ]),
  ])
}
