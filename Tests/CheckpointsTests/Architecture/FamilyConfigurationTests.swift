import Checkpoints
import TestSupport
import Testing

/// What families read from their own keys.
@Suite struct FamilyConfigurationTests {
  private func configuration(
    _ model: FamilyModel, _ change: (inout JSONValue) -> Void = { _ in }
  ) throws -> ModelConfiguration {
    var json = model.configuration
    change(&json)
    return try ModelConfiguration(json, path: "config.json")
  }

  private func expectRefusal(
    of key: String, _ model: FamilyModel, _ change: (inout JSONValue) -> Void
  ) throws {
    let error = #expect(throws: FormatError.self) { try configuration(model, change) }
    #expect(error?.description.contains("key '\(key)'") == true, "\(error.map(\.description) ?? "")")
  }

  @Test(arguments: [
    (nil, 1.0, 256, 12_288, 8192), (true, 1, 256, 1000, 768), (true, 1.5, 100, 1000, 1000),
    (false, 1, 256, 1000, 1000),
  ])
  func `LFM2's feed-forward part has an adjusted width`(
    adjusts: Bool?, factor: Double, multiple: Int, stated: Int, expected: Int
  ) throws {
    let found = try configuration(.lfm2()) { json in
      json.set("block_ff_dim", to: .integer(stated))
      json.set("intermediate_size", to: .integer(7))
      json.set("block_multiple_of", to: .integer(multiple))
      json.set("block_ffn_dim_multiplier", to: .double(factor))
      if let adjusts { json.set("block_auto_adjust_ff_dim", to: .bool(adjusts)) }
    }
    #expect(found.intermediateSize == expected)
  }

  @Test func `LFM2's layers are those of either list`() throws {
    let older = try configuration(.lfm2())
    let newer = try configuration(.lfm2()) { json in
      json.set("full_attn_idxs", to: .null)
      json.set("layer_types", to: .array([.string("conv"), .string("full_attention")]))
    }
    #expect(older.description == newer.description)
    let all = try configuration(.lfm2()) { $0.set("full_attn_idxs", to: .null) }
    #expect(all.description.layers[0] == older.description.layers[1])
  }

  @Test func `Gemma 4's global heads are the same in both spellings`() throws {
    let older = try configuration(.gemma4())
    let newer = try configuration(.gemma4()) { json in
      json.set("global_head_dim", to: .null)
      json.set("num_global_key_value_heads", to: .null)
      let own = JSONValue.object([
        JSONValue.Member("head_dim", .integer(32)), JSONValue.Member("num_key_value_heads", .integer(1)),
      ])
      json.set("per_layer_config", to: .object([JSONValue.Member("1", own)]))
    }
    #expect(older.description == newer.description)
    let other = try configuration(.gemma4()) { $0.set("global_head_dim", to: .null) }
    #expect(older.description != other.description)
  }

  @Test func `Gemma 4 embeds the tokens of images as padding`() throws {
    let found = try configuration(.gemma4()) { json in
      var text = json
      text.set("pad_token_id", to: .integer(3))
      json = .object([
        JSONValue.Member("model_type", .string("gemma4")), JSONValue.Member("text_config", text),
        JSONValue.Member("image_token_id", .integer(9)), JSONValue.Member("audio_token_id", .integer(8)),
      ])
    }
    #expect(found.description.placeholders == [9: 3, 8: 3])
    #expect(try configuration(.gemma4()).description.placeholders.isEmpty)
  }

  @Test(arguments: ["num_experts", "top_k_experts", "moe_intermediate_size"])
  func `Gemma 4 with experts has to state their numbers`(key: String) throws {
    let error = #expect(throws: FormatError.self) {
      try configuration(.gemma4Moe()) { $0.set(key, to: .null) }
    }
    #expect(error?.problem == .missing("key '\(key)'"))
    // Without experts their numbers change nothing.
    let dense = try configuration(.gemma4Moe()) { $0.set("enable_moe_block", to: .bool(false)) }
    #expect(dense.description.layers.allSatisfy { $0.experts == nil })
  }

  @Test func `keys that ask for something else are refused`() throws {
    try expectRefusal(of: "top_k_experts", .gemma4Moe()) { $0.set("top_k_experts", to: .integer(5)) }
    try expectRefusal(of: "num_experts", .gemma4Moe()) { $0.set("num_local_experts", to: .integer(5)) }
    try expectRefusal(of: "use_bidirectional_attention", .gemma4()) {
      $0.set("use_bidirectional_attention", to: .string("all"))
    }
    try expectRefusal(of: "num_kv_shared_layers", .gemma4()) {
      $0.set("num_kv_shared_layers", to: .integer(1))
    }
    try expectRefusal(of: "vocab_size_per_layer_input", .connectedGemma4()) {
      $0.set("vocab_size_per_layer_input", to: .integer(1023))
    }
    try expectRefusal(of: "full_attn_idxs", .lfm2()) {
      $0.set("full_attn_idxs", to: .array([.integer(-1)]))
    }
    // One kind for two layers.
    try expectRefusal(of: "layer_types", .lfm2()) { $0.set("layer_types", to: .array([.string("conv")])) }
    for (key, value) in [
      ("linear_num_key_heads", JSONValue.integer(3)), ("hidden_act", .string("gelu")),
      ("linear_conv_kernel_dim", .integer(0)), ("linear_unknown", .integer(1)),
      ("layer_types", .array([.string("conv"), .string("full_attention")])),
    ] {
      try expectRefusal(of: "text_config." + key, .qwen3_5()) { json in
        var text = json["text_config"] ?? .null
        text.set(key, to: value)
        json.set("text_config", to: text)
      }
    }
  }
}
