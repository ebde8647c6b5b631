extension ModelFamily {
  /// GPT-NeoX and Pythia: LayerNorms, biases everywhere, attention and feed-forward side by side, partly
  /// turned heads whose queries, keys and values stand together.
  package static let gptNeoX: ModelFamily = {
    var family = ModelFamily(
      modelType: "gpt_neox", className: "GPTNeoXForCausalLM", ggufArchitecture: "gptneox"
    ) { sizes, keys throws(FormatError) in
      var parts = DecoderParts(sizes)
      parts.normKind = .standardDeviation
      parts.normHasBias = true
      let attention = sizes.attention
      let turnedCount = try keys.turnedCount("rotary_pct", headSize: sizes.headSize, share: 0.25)
      let rotary = RotaryDescription(
        attention, turnedCount: turnedCount,
        parameters: try RotaryParameters(
          keys, sizes, turnedCount: turnedCount,
          theta: try keys.optionalNumber("rotary_emb_base") ?? 10_000, understood: ["partial_rotary_factor"]))
      let hasBias = try keys.optionalBool("attention_bias") ?? true
      let isParallel = try keys.optionalBool("use_parallel_residual") ?? true
      return parts.model(
        embedding: "embed_in", finalNorm: "final_layer_norm", head: "embed_out",
        layers: parts.everyLayer([
          LayerPart([
            .norm(parts.norm("input_layernorm", gguf: "attn_norm")),
            .linears(
              .queriesKeysValues,
              [
                TensorSlot(
                  "attention.query_key_value", gguf: "attn_qkv",
                  [ModelAxis(.other, attention.inputWidth, headCount: attention.headCount), sizes.stream],
                  rowOrder: .headsApart, hasBias: hasBias)
              ]),
            .separateHeads(attention), .rotary(rotary), .attention(attention),
            .linears(
              .attentionOutput,
              [
                TensorSlot(
                  "attention.dense", gguf: "attn_output", [sizes.stream, .attended(attention)],
                  hasBias: hasBias)
              ]),
          ]),
          LayerPart(
            [
              .norm(parts.norm("post_attention_layernorm", gguf: "ffn_norm")),
              .linears(
                .gateAndUp,
                [
                  TensorSlot(
                    "mlp.dense_h_to_4h", gguf: "ffn_up", [sizes.feedForward, sizes.stream], hasBias: true)
                ]),
              .activation(sizes.activation),
              .linears(
                .down,
                [
                  TensorSlot(
                    "mlp.dense_4h_to_h", gguf: "ffn_down", [sizes.stream, sizes.feedForward], hasBias: true)
                ]),
            ], isParallel: isParallel),
        ]))
    }
    family.prefixes = ["gpt_neox.", ""]
    family.headPrefixes = [""]
    family.defaults.epsilonKey = "layer_norm_eps"
    family.defaults.epsilon = 1e-5
    family.defaults.activation = "gelu"
    family.understoodKeys = ["attention_bias", "rotary_pct", "use_parallel_residual"]
    family.gguf.normKind = .standardDeviation
    family.gguf.biases = LinearGroupKind.dense
    family.gguf.statesParallelParts = true
    family.gguf.baseKey = "rotary_emb_base"
    family.gguf.turnedShareKey = "rotary_pct"
    family.mlx = MLXProgram {
      $0.heads = .ownOnly
      $0.scalings = .none
      $0.readsHeadSize = false
      $0.feedForwardFactor = 4
      $0.renamesModules = true
      $0.thetaKey = "rotary_emb_base"
      $0.shareKey = "rotary_pct"
    }
    return family
  }()
}
