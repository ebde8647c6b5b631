import Checkpoints
import TestSupport
import Testing

/// Keys of `config.json` that change what some family computes: each one changes the description of a model, or
/// is refused by its name.
@Suite struct FamilyKeyTests {
  /// Keys, with values that no fixture has.
  private static let meaningful: [(key: String, value: String)] = [
    ("rope_scaling", #"{"rope_type": "linear", "factor": 3.0}"#),
    ("rope_scaling", #"{"rope_type": "axial"}"#),
    ("rope_scaling", #"{"rope_type": "linear", "factor": 3.0, "low": 1}"#),
    ("rope_theta", "777.0"), ("partial_rotary_factor", "0.25"), ("rotary_pct", "0.25"),
    ("rotary_dim", "4"), ("sliding_window", "7"), ("use_sliding_window", "true"),
    ("layer_types", #"["chunked_attention", "full_attention"]"#),
    ("layer_types", #"["sliding_attention", "sliding_attention"]"#), ("sliding_window_pattern", "1"),
    ("no_rope_layers", "[0, 1]"), ("no_rope_layers", "[0, 0]"), ("attention_bias", "true"),
    ("attention_bias", "false"), ("mlp_bias", "true"), ("use_bias", "true"), ("use_bias", "false"),
    ("qkv_bias", "true"), ("hidden_act", #""relu""#), ("hidden_activation", #""relu""#),
    ("attn_logit_softcapping", "7.0"), ("final_logit_softcapping", "7.0"), ("embedding_multiplier", "0.3"),
    ("residual_multiplier", "0.3"), ("attention_multiplier", "0.3"), ("lm_head_multiplier", "0.3"),
    ("logits_scaling", "0.3"), ("logit_scale", "0.3"), ("query_pre_attn_scalar", "7"),
    ("attention_chunk_size", "8"), ("attn_temperature_tuning", "true"), ("use_qk_norm", "true"),
    ("qk_layernorm", "true"), ("use_bidirectional_attention", "true"), ("use_parallel_residual", "true"),
    ("use_parallel_residual", "false"), ("num_experts", "4"), ("num_local_experts", "4"),
    ("enable_moe_block", "true"), ("num_kv_shared_layers", "1"), ("hidden_size_per_layer_input", "8"),
    ("attention_k_eq_v", "true"), ("linear_num_key_heads", "2"), ("conv_L_cache", "3"), ("kv_lora_rank", "8"),
    ("alibi", "true"), ("num_key_value_heads", "1"), ("head_dim", "8"), ("tie_word_embeddings", "true"),
    ("tie_word_embeddings", "false"),
  ]

  /// Keys that the code of a family in transformers does not read, although it means something elsewhere.
  private static let ignored: [String: Set<String>] = [
    "llama": ["sliding_window", "use_sliding_window", "layer_types"],
    "mistral": ["use_sliding_window", "layer_types"], "ministral3": ["use_sliding_window", "layer_types"],
    "gemma": ["hidden_act"], "gemma3_text": ["attn_logit_softcapping"], "cohere2": ["rotary_pct"],
  ]

  /// The part of a configuration that describes the text.
  private static func text(_ json: JSONValue) -> JSONValue {
    guard json["text_config"]?.object != nil else { return json }
    return json["text_config"] ?? json
  }

  /// A configuration in which every key of windows has an effect.
  private func base(_ name: String) throws -> JSONValue {
    var json = Self.text(try FamilyFixture(name).configuration())
    if json["use_sliding_window"]?.bool == false {
      json.set("use_sliding_window", to: .bool(true))
      json.set("sliding_window", to: .integer(6))
      json.set("max_window_layers", to: .integer(1))
      json.set("layer_types", to: .null)
    }
    return json
  }

  @Test(arguments: FamilyFixture.denseNames)
  func `a key that means something changes the model, or is refused by its name`(name: String) throws {
    let base = try base(name)
    let model = try ModelConfiguration(base, path: name)
    var (changes, refusals) = (0, 0)
    for (key, text) in Self.meaningful {
      let value = try JSONValue(parsing: Array(text.utf8))
      guard base[key] != value, Self.ignored[model.family.modelType]?.contains(key) != true else { continue }
      if case .bool(false) = value, base[key] == nil { continue }
      var json = base
      json.set(key, to: value)
      // What transformers 5 writes takes precedence over the base, and not over the scaling.
      if key.hasPrefix("rope_") { json.set("rope_parameters", to: .null) }
      do {
        let changed = try ModelConfiguration(json, path: name)
        #expect(
          changed.description != model.description || changed.sizes != model.sizes,
          "\(key): \(text) is read over")
        changes += 1
      } catch {
        // Lists of divisors have a length that follows from these two.
        let decidesLists = ["head_dim", "partial_rotary_factor"].contains(key)
        #expect(error.place?.contains(key) == true || decidesLists, "\(key): \(text): \(error)")
        refusals += 1
      }
    }
    #expect(changes > 4 && refusals > 20, "\(changes) changes, \(refusals) refusals")
  }

  @Test(arguments: FamilyFixture.denseNames)
  func `a key that means nothing changes nothing`(name: String) throws {
    let base = try base(name)
    var json = base
    for (key, text) in [
      ("attention_dropout", "0.1"), ("hidden_dropout", "0.1"), ("use_cache", "false"),
      ("initializer_range", "0.5"), ("pretraining_tp", "2"), ("router_aux_loss_coef", "0.1"),
      ("output_router_logits", "true"), ("num_experts", "0"), ("embedding_multiplier", "null"),
    ] {
      json.set(key, to: try JSONValue(parsing: Array(text.utf8)))
    }
    if base["embedding_multiplier"] != nil { json.set("embedding_multiplier", to: .double(12)) }
    let (before, after) = (try ModelConfiguration(base, path: name), try ModelConfiguration(json, path: name))
    #expect(after.description == before.description && after.sizes == before.sizes)
  }

  @Test(arguments: FamilyFixture.denseNames)
  func `both spellings of a configuration describe the same model`(name: String) throws {
    let fixture = try FamilyFixture(name)
    let models = try FamilyFixture.Spelling.allCases.map {
      try ModelConfiguration(fixture.configuration($0), path: name)
    }
    #expect(models[0].description == models[1].description && models[0].sizes == models[1].sizes)
    #expect(models[0].isNested == models[1].isNested && models[0].endTokens == models[1].endTokens)
  }

  @Test func `a Mistral without the key of the window has one of 4096`() throws {
    var json = try FamilyFixture("mistral").configuration()
    func windows() throws -> [Int?] {
      try ModelConfiguration(json, path: "config.json").description.layers.flatMap(\.parts)
        .flatMap(\.operations).compactMap {
          guard case .attention(let attention) = $0 else { return nil }
          return .some(attention.window)
        }
    }
    #expect(try windows() == [6, 6])
    json.set("sliding_window", to: .null)
    #expect(try windows() == [nil, nil])
    json = .object((json.object ?? []).filter { $0.key != "sliding_window" })
    #expect(try windows() == [4096, 4096])
  }

  @Test func `only layers of SmolLM 3 that do not turn have a window`() throws {
    let json = try base("smollm3")
    let layers = try ModelConfiguration(json, path: "config.json").description.layers
    let facts = layers.map { layer in
      let operations = layer.parts.flatMap(\.operations)
      return operations.contains {
        if case .rotary = $0 { true } else { false }
      }
        == operations.contains {
          if case .attention(let attention) = $0 { attention.window == nil } else { false }
        }
    }
    #expect(facts == [true, true])
  }

  @Test func `biases that no key asks for are used, and a sentence says so`() throws {
    let folder = try TemporaryFolder()
    let silent = try FamilyFixture("llama").write(to: folder.path("model")) {
      $0.set("attention_bias", to: .bool(false))
    }
    #expect(silent.notices.count == 1)
    #expect(silent.notices.first?.contains("'model.layers.0.self_attn.q_proj.bias'") == true)
    #expect(silent.notices.first?.contains("7 more") == true)
    #expect(try FamilyFixture("llama").write(to: folder.path("usual")).notices == [])
  }
}
