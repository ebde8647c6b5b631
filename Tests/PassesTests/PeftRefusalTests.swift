import Checkpoints
import Passes
import TestSupport
import Testing

/// Adapters of a base of 1,024 tokens and a width of 128, by what they change.
private let tiedParts: [String: [(name: String, shape: [Int])]] = [
  "embedding": [
    ("model.embed_tokens.lora_embedding_A", [4, 1024]), ("model.embed_tokens.lora_embedding_B", [128, 4]),
  ],
  "head": [("lm_head.lora_A.weight", [4, 128]), ("lm_head.lora_B.weight", [1024, 4])],
  "saved embedding": [("model.embed_tokens.weight", [1024, 128])],
  "saved head": [("lm_head.weight", [1024, 128])],
  "saved both": [("model.embed_tokens.weight", [1024, 128]), ("lm_head.weight", [1024, 128])],
]

/// Adapters that do not fit their base, by what is said about them.
@Suite struct PeftRefusalTests {
  private let q = "model.layers.0.self_attn.q_proj"

  private func message(
    _ sample: SampleAdapter, on model: TinyModel = TinyModel(), _ pooling: PoolingConvention? = nil
  ) throws -> (text: String, error: (any Error)?) {
    let bench = try Workbench(model)
    let adapter = try sample.write(to: "adapter", in: bench.folder)
    let source = AdapterSource(path: PathOption(adapter.path), pooling: pooling)
    do {
      try bench.run(
        .merge(MergeOptions { $0.adapter = source }))
    } catch {
      #expect(!(try bench.folder.names().contains("out.rilq")))
      let text = "\(error)".replacing(bench.folder.path + "/", with: "")
      return (text, error)
    }
    return ("", nil)
  }

  private func sample(_ modules: String..., targets: [String]? = nil) -> SampleAdapter {
    var sample = SampleAdapter(rank: 4, alpha: 6, targets: targets ?? modules)
    for module in modules { sample.add(module, rank: 4, inputs: 128, outputs: 128) }
    return sample
  }

  @Test func `a tensor that matches no module names the nearest`() throws {
    let result = try message(sample("model.layers.0.self_atn.q_proj"))
    let tensor = "base_model.model.model.layers.0.self_atn.q_proj.lora_A.weight"
    #expect(
      result.text.says(
        "adapter/adapter_model.safetensors: tensor '\(tensor)': … no module … 'model' … nearest … '\(q)' …"))
    #expect(result.error is FormatError)
  }

  @Test func `a target without a tensor is named, with the nearest that has one`() throws {
    let text = try message(sample(q, targets: ["q_proj"])).text
    let other = "model.layers.1.self_attn.q_proj"
    #expect(
      text.says(
        "adapter/adapter_config.json: key 'target_modules': … '\(other)' … no tensors … nearest … '\(q)' …"))
  }

  @Test func `targets that the base lacks are no error beside one that it has`() throws {
    #expect(try message(sample(q, targets: [q, "mlp.up_porj", "query_key_value", "lm_heads"])).text == "")
  }

  @Test func `targets that match nothing at all are refused`() throws {
    var sample = SampleAdapter(rank: 4, alpha: 6, targets: ["query_key_value", "dense"])
    sample.add("model.norm.weight", [128])
    let result = try message(sample)
    #expect(result.text.says("adapter/adapter_config.json: key 'target_modules': … no module … 'model' …"))
  }

  @Test func `a tensor that no target takes in is named`() throws {
    let other = "model.layers.1.mlp.up_proj"
    let text = try message(sample(q, other, targets: [q])).text
    #expect(text.says("adapter/adapter_config.json: key 'target_modules': … leaves out '\(other)' …"))
  }

  @Test func `a replaced tensor that is not in the base names the nearest`() throws {
    var sample = sample(q)
    sample.add("model.nrom.weight", [128])
    #expect(
      try message(sample).text.says(
        "adapter/adapter_model.safetensors: tensor 'base_model.model.model.nrom.weight': … 'model' … nearest … "
          + "'model.norm.weight' …"))
  }

  @Test func `a replaced tensor of another shape is refused`() throws {
    var sample = sample(q)
    sample.add("model.norm.weight", [64])
    #expect(
      try message(sample).text.hasSuffix(
        "'base_model.model.model.norm.weight': shape is [64], expected [128]"))
  }

  @Test func `an adapter of another shape is refused`() throws {
    let k = "model.layers.0.self_attn.k_proj"
    let place = "adapter/adapter_model.safetensors: tensor 'base_model.model.\(k).lora_B.weight': "
    #expect(try message(sample(k)).text.says(place + "… [128, 4] … [64, 4] …"))
  }

  @Test func `a bias without one to take it in is refused`() throws {
    var sample = SampleAdapter(rank: 4, alpha: 6, targets: [q], [.init("lora_bias", .bool(true))])
    sample.add(q, rank: 4, inputs: 128, outputs: 128)
    sample.add(q + ".lora_B.bias", [128])
    #expect(try message(sample).text.contains("the module has no bias in 'model' that could take it in"))
  }

  private func tied(_ kind: String, _ settings: [JSONValue.Member] = []) throws -> SampleAdapter {
    let tensors = try #require(tiedParts[kind])
    let targets =
      tensors[0].name.contains("lora")
      ? [tensors[0].name.contains("embed") ? "embed_tokens" : "lm_head"] : [q]
    var sample = SampleAdapter(rank: 4, alpha: 6, targets: targets, settings)
    if targets == [q] { sample.add(q, rank: 4, inputs: 128, outputs: 128) }
    for tensor in tensors { sample.add(tensor.name, tensor.shape) }
    return sample
  }

  @Test(arguments: tiedParts.keys.sorted())
  func `an adapter of an embedding or a head that are one tensor is refused`(kind: String) throws {
    let result = try message(try tied(kind), on: TinyModel { $0.tiesEmbeddings = true })
    #expect(
      result.text.contains(
        "the embedding and the output head of 'model' are one tensor (tie_word_embeddings)"))
    #expect(result.text.hasPrefix(kind.hasSuffix("head") ? "module 'lm_head'" : "module '"))
    #expect((result.error as? PassError)?.isNotExact == true)
    #expect(try message(try tied(kind)).text == "")
  }

  @Test func `copies that are said to be tied and differ are refused`() throws {
    let result = try message(
      try tied("saved both", [.init("ensure_weight_tying", .bool(true))]),
      on: TinyModel { $0.tiesEmbeddings = true })
    #expect(result.text.contains("the adapter's copies for the two differ"))
    #expect((result.error as? PassError)?.isNotExact == true)
  }

  @Test(arguments: ["values", "alpha"])
  func `adapters that are said to be tied and differ are refused`(difference: String) throws {
    let (a, b) = ("model.embed_tokens.lora_embedding_A", "model.embed_tokens.lora_embedding_B")
    let alphas = JSONValue.object(difference == "alpha" ? [.init("lm_head", .integer(12))] : [])
    var sample = SampleAdapter(
      rank: 4, alpha: 6, targets: ["embed_tokens"],
      [.init("ensure_weight_tying", .bool(true)), .init("alpha_pattern", alphas)])
    sample.add(a, [4, 1024])
    sample.add(b, [128, 4])
    sample.add("lm_head.lora_A.weight", [4, 128], valuesOf: b, isTransposed: true)
    if difference == "alpha" {
      sample.add("lm_head.lora_B.weight", [1024, 4], valuesOf: a, isTransposed: true)
    } else {
      sample.add("lm_head.lora_B.weight", [1024, 4])
    }
    let result = try message(sample, on: TinyModel { $0.tiesEmbeddings = true })
    #expect(result.text.contains("the adapter's copies for the two differ"), "\(result.text)")
    #expect((result.error as? PassError)?.isNotExact == true)
  }

  @Test func `a base without a head has a tied one, whether the configuration says so or not`() throws {
    let bench = try Workbench(TinyModel { $0.tiesEmbeddings = true })
    let silent = try bench.input.writeFolder(to: bench.folder.path("silent")) {
      $0.configuration["tie_word_embeddings"] = .null
    }
    let adapter = try tied("saved head").write(to: "adapter", in: bench.folder)
    let source = AdapterSource(path: PathOption(adapter.path))
    let error = #expect(throws: PassError.self) {
      try bench.run(.merge(MergeOptions { $0.adapter = source }), on: silent)
    }
    #expect(error?.isNotExact == true)
  }

  @Test func `a sum that the base's type cannot hold is refused`() throws {
    var sample = SampleAdapter(rank: 4, alpha: 1e8, targets: [q])
    sample.add(q, rank: 4, inputs: 128, outputs: 128)
    let result = try message(sample, on: TinyModel { $0.dtype = .f16 })
    guard case .notFinite(q + ".weight", _)? = result.error as? PassError else {
      Issue.record("\(result.text)")
      return
    }
  }

  @Test func `plain means of every column are no pooling`() throws {
    #expect(
      try message(sample(q), .qaLora).text.contains(
        "128 columns, but a pooled adapter needs a proper divisor of the module's 128 columns"))
  }

  @Test func `pools of another size than the configuration's are refused`() throws {
    var sample = SampleAdapter(
      rank: 4, alpha: 6, targets: [q],
      [.init("use_qalora", .bool(true)), .init("qalora_group_size", .integer(16))])
    sample.add(q, rank: 4, inputs: 4, outputs: 128)
    #expect(try message(sample).text.contains("pools 32 of 128 columns where qalora_group_size is 16"))
  }

  @Test func `a base with an adapter beside it is refused`() throws {
    let bench = try Workbench()
    let adapter = try sample(q).write(to: "adapter", in: bench.folder)
    let source = AdapterSource(path: PathOption(adapter.path))
    let error = #expect(throws: PassError.self) {
      try bench.run(
        .attach(AttachOptions { $0.kind = .dense }),
        .merge(MergeOptions { $0.adapter = source }))
    }
    #expect(error?.isUsage == true)
    #expect(error?.description.contains("merge them before bringing another") == true)
  }

  @Test(arguments: [
    ("merge: {pooling: qa-lora}", "merge.pooling': goes with 'adapter' only"),
    ("attach: {adapter: a, rank: 4}", "attach.rank': does not go with 'adapter', which has its own"),
    ("merge: {adapter: a, pooling: mean}", "merge.pooling': is 'mean', expected peft or qa-lora"),
  ])
  func `a recipe's keys that do not go together are refused`(pass: String, expected: String) throws {
    let error = #expect(throws: PassError.self) { _ = try parse(recipeText(passes: pass)) }
    #expect(error?.description.hasSuffix(expected) == true)
  }
}
