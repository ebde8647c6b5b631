extension ConfigurationKeys {
  /// The values with which a key of another family changes nothing; null is always one of them.
  private enum Neutral {
    case no
    case number(Double)
    case emptyList
    case fullAttention
    case nothing

    func accepts(_ value: JSONValue) -> Bool {
      switch self {
      case .no: value.bool == false
      case .number(let number): value.double == number
      case .emptyList: value.array?.isEmpty == true
      case .fullAttention: value.array?.allSatisfy { $0.string == "full_attention" } == true
      case .nothing: false
      }
    }
  }

  /// Keys that change what is computed in some families.
  private static let meaningfulKeys: [String: Neutral] = [
    "attention_bias": .no, "mlp_bias": .no, "use_bias": .no, "qkv_bias": .no, "use_qk_norm": .no,
    "qk_layernorm": .no, "use_bidirectional_attention": .no, "attention_k_eq_v": .no, "enable_moe_block": .no,
    "attn_temperature_tuning": .no, "use_sliding_window": .no, "use_parallel_residual": .no, "alibi": .no,
    "partial_rotary_factor": .number(1), "rotary_pct": .number(1), "rotary_dim": .nothing,
    "logit_scale": .number(1), "logits_scaling": .number(1), "embedding_multiplier": .number(1),
    "residual_multiplier": .number(1), "num_experts": .number(0), "num_local_experts": .number(0),
    "num_kv_shared_layers": .number(0), "hidden_size_per_layer_input": .number(0),
    "query_pre_attn_scalar": .nothing, "attention_chunk_size": .nothing, "sliding_window": .nothing,
    "sliding_window_pattern": .nothing, "no_rope_layers": .emptyList, "layer_types": .fullAttention,
    "kv_lora_rank": .nothing, "rope_scaling": .nothing,
  ]
  /// Beginnings and endings of further such keys.
  private static let meaningfulBeginnings = ["linear_", "conv_"]
  private static let meaningfulEndings = ["_softcapping", "_multiplier", "_scaling"]

  /// Refuses every key that is not understood and would change what is computed.
  ///
  /// - Parameters:
  ///   - understood: The keys that are read elsewhere.
  ///   - ignored: The keys that change nothing in the family.
  /// - Throws: `FormatError` with the key.
  func refuseMeaningfulKeys(
    understood: Set<String>, ignored: Set<String>
  ) throws(FormatError) {
    for member in json.object ?? [] {
      let (key, value) = (member.key, member.value)
      guard !value.isNull, !understood.contains(key), !ignored.contains(key), let neutral = Self.neutral(key)
      else { continue }
      if case .no = neutral, value.bool == nil, value.integer == nil {
        throw malformed(key, "must be true or false")
      }
      guard !neutral.accepts(value) else { continue }
      throw unsupported(key, Self.reason(key, value))
    }
  }

  private static func neutral(_ key: String) -> Neutral? {
    if let neutral = meaningfulKeys[key] { return neutral }
    let isMeaningful =
      meaningfulBeginnings.contains { key.hasPrefix($0) } || meaningfulEndings.contains { key.hasSuffix($0) }
    return isMeaningful ? .nothing : nil
  }

  private static func reason(_ key: String, _ value: JSONValue) -> String {
    switch key {
    case "attention_bias", "mlp_bias", "use_bias", "qkv_bias": "linears with a bias are not supported"
    case "sliding_window", "use_sliding_window": "a sliding window is not supported"
    default: "the value \(value.compactText) changes what is computed and is not supported"
    }
  }
}
