import Checkpoints
import TestSupport
import Testing

/// What llama.cpp computes differently is refused, or told with the length from which on it matters.
struct GGUFExportRulesTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let modelType: String
    let changes: String
    /// The key of the error and a word of its message; for a notice, the words of it.
    let expected: [String]

    init(_ modelType: String, _ changes: String, _ expected: String...) {
      testDescription = "\(modelType) \(changes)"
      self.modelType = modelType
      self.changes = changes
      self.expected = expected
    }
  }

  private func notices(_ example: Case) throws -> [String] {
    let folder = try TemporaryFolder()
    let text =
      #"{"model_type": "\#(example.modelType)", "hidden_size": 128, "intermediate_size": 64, "#
      + #""num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "#
      + (example.changes.contains("head_dim") ? "" : #""head_dim": 32, "#)
      + #""vocab_size": 8, "max_position_embeddings": 1024, "tie_word_embeddings": false\#(example.changes)}"#
    let configuration = try ModelConfiguration(JSONValue(parsing: Array(text.utf8)), path: "config.json")
    let tensors = Array(ModelLayout(configuration).bodyTensors).map {
      TensorInfo(name: $0.name, dtype: .bf16, shape: $0.shape)
    }
    var sample = SampleCheckpoint(tensors)
    sample.setAsset("config.json", text)
    try sample.write(to: folder.path("model"))
    return try GGUFExportModel(of: Checkpoint.open(path: folder.path("model")), name: "x").notices
  }

  static let refused = [
    Case("gemma2", #", "query_pre_attn_scalar": 40"#, "query_pre_attn_scalar"),
    Case("gemma2", #", "query_pre_attn_scalar": 32, "attn_logit_softcapping": null"#, "attn_logit"),
    Case("gemma2", #", "query_pre_attn_scalar": 32, "final_logit_softcapping": null"#, "final_logit"),
    Case("gemma3_text", #", "query_pre_attn_scalar": 32, "sliding_window_pattern": 2"#, "layer_types", "6"),
    Case("cohere2", #", "sliding_window_pattern": 2"#, "layer_types", "layer 4"),
    Case("smollm3", #", "no_rope_layers": [1, 0, 1, 0]"#, "no_rope_layers"),
    Case("granite", #", "head_dim": 64"#, "head_dim"),
    Case("starcoder2", #", "hidden_act": "silu""#, "hidden_act"),
    Case("llama", #", "rope_scaling": {"rope_type": "dynamic", "factor": 2}"#, "rope_scaling", "dynamic"),
    Case(
      "llama", #", "rope_scaling": {"rope_type": "yarn", "factor": 4, "truncate": false}"#, "truncate"),
    Case(
      "llama", #", "rope_scaling": {"rope_type": "yarn", "factor": 4, "attention_factor": 2}"#,
      "attention_factor"),
    Case(
      "qwen3",
      #", "rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4}"#,
      "rope_scaling", "llama3"),
    Case("qwen3_moe", #", "num_experts": 2, "num_experts_per_tok": 1"#, "norm_topk_prob", "add up to 1"),
    Case(
      "qwen3_moe",
      #", "num_experts": 2, "num_experts_per_tok": 1, "norm_topk_prob": true, "mlp_only_layers": [1]"#,
      "mlp_only_layers"),
    Case(
      "gpt_oss", #", "num_local_experts": 2, "num_experts_per_tok": 1, "swiglu_limit": 5"#, "swiglu_limit"),
    Case(
      "gpt_oss", #", "num_local_experts": 2, "num_experts_per_tok": 1, "attention_bias": false"#,
      "attention_bias"),
    Case(
      "gpt_oss",
      #", "num_local_experts": 2, "num_experts_per_tok": 1, "layer_types": ["full_attention", "#
        + #""sliding_attention", "full_attention", "sliding_attention"]"#, "layer_types"),
    Case("lfm2", #", "full_attn_idxs": [1], "conv_bias": true"#, "conv_bias"),
    Case(
      "qwen3_5_text",
      #", "linear_num_key_heads": 2, "linear_num_value_heads": 2, "#
        + #""linear_key_head_dim": 16, "linear_value_head_dim": 32"#, "linear_value_head_dim"),
    Case(
      "qwen3_5_text",
      #", "linear_num_key_heads": 2, "linear_num_value_heads": 2, "layer_types": ["#
        + #""full_attention", "linear_attention", "linear_attention", "full_attention"]"#, "layer_types"),
    Case(
      "gemma4_text",
      #", "global_head_dim": 32, "vocab_size_per_layer_input": 16, "#
        + #""hidden_size_per_layer_input": 8"#, "vocab_size_per_layer_input"),
    Case(
      "gemma4_text",
      #", "global_head_dim": 32, "hidden_size_per_layer_input": 0, "#
        + #""num_kv_shared_layers": 1, "layer_types": ["full_attention", "sliding_attention", "#
        + #""sliding_attention", "full_attention"]"#, "num_kv_shared_layers"),
  ]

  @Test(arguments: refused) func `refuses what llama.cpp computes otherwise`(example: Case) throws {
    let error = #expect(throws: FormatError.self) { try notices(example) }
    let place = error?.place ?? ""
    #expect(place.contains(example.expected[0]), "\(error.map(\.description) ?? "")")
    guard case .notExact(let reason) = error?.problem else {
      Issue.record("\(error.map(\.description) ?? "no error")")
      return
    }
    #expect(example.expected.dropFirst().allSatisfy(reason.contains), "\(reason)")
  }

  static let told = [
    Case("mistral", #", "sliding_window": 16"#, "window of 16"),
    Case("starcoder2", #", "sliding_window": 16"#, "window of 16"),
    Case(
      "phi3",
      #", "original_max_position_embeddings": 64, "partial_rotary_factor": 0.25, "#
        + #""rope_scaling": {"type": "longrope", "short_factor": [1, 1, 1, 1], "long_factor": [1, 2, 3, 4]}"#,
      "at most 64"),
  ]

  @Test(arguments: told) func `says from which length on llama.cpp computes otherwise`(example: Case) throws {
    let notices = try notices(example)
    #expect(notices.count == 1 && example.expected.allSatisfy { notices[0].contains($0) }, "\(notices)")
  }

  @Test(arguments: [
    Case("mistral", #", "sliding_window": 1024"#), Case("mistral", #", "sliding_window": null"#),
    Case("gemma2", #", "query_pre_attn_scalar": 32"#), Case("cohere2", ""), Case("smollm3", ""),
    Case("olmo3", ""), Case("llama", #", "rope_scaling": {"rope_type": "yarn", "factor": 4}"#),
  ])
  func `takes what llama.cpp computes alike`(example: Case) throws {
    #expect(try notices(example) == [])
  }
}
