extension ModelFamily {
  /// Granite 3 and 4, dense: Llama with factors of embeddings, scores, parts and logits.
  package static let granite: ModelFamily = {
    var family = ModelFamily(
      modelType: "granite", className: "GraniteForCausalLM", ggufArchitecture: "granite"
    ) { sizes, keys throws(FormatError) in
      var parts = DecoderParts(sizes)
      parts.rowOrder = .rotaryPairs
      var attention = sizes.attention
      attention.scale = try keys.multiplier("attention_multiplier")
      let rotary = RotaryDescription(attention, parameters: try RotaryParameters(keys, sizes))
      let attentionHasBias = try keys.optionalBool("attention_bias") ?? false
      let feedForwardHasBias = try keys.optionalBool("mlp_bias") ?? false
      let residual = try keys.multiplier("residual_multiplier")
      let scale: [LayerOperation] = residual == 1 ? [] : [.scale(residual)]
      var model = parts.model(
        layers: parts.everyLayer(
          parts.preNorm(
            parts.attention(
              attention, rotary, inputsHaveBias: attentionHasBias, outputHasBias: attentionHasBias)
              + scale, parts.gatedFeedForward(hasBias: feedForwardHasBias) + scale)))
      model.embeddingScale = try keys.multiplier("embedding_multiplier")
      model.logitScale = 1 / (try keys.multiplier("logits_scaling"))
      return model
    }
    family.understoodKeys = [
      "attention_bias", "mlp_bias", "attention_multiplier", "embedding_multiplier", "residual_multiplier",
      "logits_scaling",
    ]
    family.gguf.biases = LinearGroupKind.dense
    family.gguf.holdsDivisors = true
    family.gguf.statesMultipliers = true
    family.gguf.numbers = [
      .init("attention.scale", "attention_multiplier", isRequired: true),
      .init("embedding_scale", "embedding_multiplier"), .init("residual_scale", "residual_multiplier"),
      .init("logit_scale", "logits_scaling"),
    ]
    family.mlx = MLXProgram {
      $0.readsHeadSize = false
      $0.assumptions =
        ["attention_multiplier", "embedding_multiplier", "residual_multiplier", "logits_scaling"]
        .map { JSONValue.Member($0, .integer(1)) }
        + ["attention_bias", "mlp_bias"].map { JSONValue.Member($0, .bool(false)) }
    }
    return family
  }()
}

extension ConfigurationKeys {
  /// A factor, 1 if it is missing.
  ///
  /// - Throws: `FormatError` when it is not a number other than 0.
  func multiplier(_ name: String, missing: Double = 1) throws(FormatError) -> Float {
    let number = try optionalNumber(name) ?? missing
    guard number != 0, Float(number).isFinite else { throw malformed(name, "must be a number other than 0") }
    return Float(number)
  }
}
