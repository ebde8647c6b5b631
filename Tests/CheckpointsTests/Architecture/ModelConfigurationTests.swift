import Checkpoints
import TestSupport
import Testing

@Suite struct ModelConfigurationTests {
  private static let base = """
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "vocab_size": 100, "max_position_embeddings": 512
    """

  private func read(_ more: String = "") throws -> ModelConfiguration {
    let text = "{\(Self.base)\(more.isEmpty ? "" : ", ")\(more)}"
    return try ModelConfiguration(JSONValue(parsing: Array(text.utf8)), path: "config.json")
  }

  private func refusal(_ more: String) -> FormatError? {
    #expect(throws: FormatError.self) { try read(more) }
  }

  @Test(arguments: [
    ("num_hidden_layers", 4096), ("num_attention_heads", 65536), ("hidden_size", 1 << 24),
    ("vocab_size", 1 << 24),
  ])
  func `a size beyond its limit is refused by its key`(key: String, limit: Int) throws {
    let text = "{\(Self.base)}".replacing(/"\w+": \d+/) { match in
      match.output.hasPrefix("\"\(key)\"") ? "\"\(key)\": \(limit + 1)" : String(match.output)
    }
    let error = #expect(throws: FormatError.self) {
      try ModelConfiguration(JSONValue(parsing: Array(text.utf8)), path: "config.json")
    }
    #expect(error?.place == "key '\(key)'")
    #expect(error?.description.contains("from 1 to \(limit)") == true)
  }

  @Test func `heads that are wider than any size are refused`() throws {
    #expect(refusal("\"head_dim\": 8388608")?.place == "key 'head_dim'")
    #expect(try read("\"head_dim\": 4194304").headSize == 4_194_304)
  }

  @Test(arguments: [
    (#""model_type": "qwen2", "attention_bias": true"#, "attention_bias"),
    (#""model_type": "qwen3", "mlp_bias": true"#, "mlp_bias"), (#""use_bias": true"#, "use_bias"),
    (#""partial_rotary_factor": 0.5"#, "partial_rotary_factor"),
    (#""final_logit_softcapping": 30.0"#, "final_logit_softcapping"),
    (#""attn_logit_softcapping": 50.0"#, "attn_logit_softcapping"),
    (#""embedding_multiplier": 12.0"#, "embedding_multiplier"),
    (#""attention_multiplier": 0.5"#, "attention_multiplier"),
    (#""logits_scaling": 8.0"#, "logits_scaling"), (#""logit_scale": 0.0625"#, "logit_scale"),
    (#""query_pre_attn_scalar": 256"#, "query_pre_attn_scalar"), (#""use_qk_norm": true"#, "use_qk_norm"),
    (#""attention_chunk_size": 8192"#, "attention_chunk_size"),
    (#""num_local_experts": 8"#, "num_local_experts"),
    (#""num_experts": 8"#, "num_experts"), (#""no_rope_layers": [1, 0]"#, "no_rope_layers"),
    (#""attn_temperature_tuning": 4"#, "attn_temperature_tuning"), (#""conv_L_cache": 3"#, "conv_L_cache"),
    (#""linear_num_key_heads": 2"#, "linear_num_key_heads"),
    (#""hidden_activation": "gelu""#, "hidden_activation"),
    (#""hidden_act": "relu2""#, "hidden_act"), (#""model_type": "qwen9""#, "model_type"),
    (
      #""model_type": "qwen3", "use_sliding_window": true, "layer_types": ["chunked", "chunked"]"#,
      "layer_types"
    ),
    (#""rope_parameters": {"full_attention": {"rope_type": "default"}}"#, "rope_parameters.full_attention"),
    (#""rope_scaling": {"rope_type": "axial", "factor": 2}"#, "rope_scaling.rope_type"),
    (
      #""rope_scaling": {"type": "linear", "factor": 2, "partial_rotary_factor": 0.5}"#,
      "rope_scaling.partial_rotary_factor"
    ),
  ])
  func `a key that changes what is computed is refused by its name`(keys: String, name: String) {
    let error = refusal(keys)
    #expect(error?.place == "key '\(name)'")
    guard case .unsupported = error?.problem else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  @Test(arguments: [
    #""attention_bias": false"#, #""final_logit_softcapping": null"#, #""embedding_multiplier": 1.0"#,
    #""partial_rotary_factor": 1.0"#, #""num_experts": 0"#, #""no_rope_layers": []"#,
    #""model_type": "mistral", "num_key_value_heads": 4, "sliding_window": null, "layer_types": ["full_attention"]"#,
    #""model_type": "llama", "sliding_window": 16"#, #""attention_dropout": 0.1, "use_cache": false"#,
  ])
  func `a key that changes nothing is read over`(keys: String) throws {
    #expect(try read(keys).layerCount == 2)
  }

  @Test func `a missing number of key and value heads is the family's, a null one that of the heads`() throws
  {
    #expect(try read().keyValueHeadCount == 4)
    #expect(try read(#""model_type": "mistral", "num_key_value_heads": null"#).keyValueHeadCount == 4)
    #expect(refusal(#""model_type": "mistral""#)?.place == "key 'num_key_value_heads'")
  }

  @Test func `rope_scaling counts where rope_parameters stand beside it, and a sentence says so`() throws {
    let both = try read(
      #""rope_scaling": {"type": "linear", "factor": 2.0}, "rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}"#
    )
    #expect(
      both.rotaryDescriptions[0].parameters == RotaryParameters(theta: 10_000, scaling: .linear(factor: 2)))
    #expect(both.notices.count == 1)
    for key in ["'rope_scaling'", "'rope_parameters'"] {
      #expect(both.notices.first?.contains(key) == true)
    }
    let empty = try read(
      #""rope_scaling": {}, "rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}"#)
    #expect(empty.rotaryDescriptions[0].parameters == RotaryParameters(theta: 5e5))
    #expect(empty.notices.isEmpty)
  }

  @Test(arguments: [
    (#""original_max_position_embeddings": 64"#, "", 64), ("", "", 512),
    (#""original_max_position_embeddings": 64"#, #", "original_max_position_embeddings": 128"#, 128),
  ])
  func `the original context is the outer one, else the one of the stretching, else the context`(
    inner: String, outer: String, expected: Int
  ) throws {
    let more = inner.isEmpty ? "" : ", " + inner
    let found = try read(
      #""rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0\#(more)}\#(outer)"#
    ).rotaryDescriptions[0].parameters.scaling
    #expect(
      found
        == .llama3(
          Llama3Scaling(
            factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: expected)))
  }
}
