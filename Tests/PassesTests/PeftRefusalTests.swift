import Checkpoints
import Passes
import TestSupport
import Testing

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
    #expect(
      result.text
        == "adapter/adapter_model.safetensors: tensor 'base_model.model.model.layers.0.self_atn.q_proj.lora_A.weight': "
        + "matches no module with a matrix in 'model', the nearest is '\(q)'")
    #expect(result.error is FormatError)
  }

  @Test func `a target without a tensor is named, with the nearest that has one`() throws {
    #expect(
      try message(sample(q, targets: ["q_proj"])).text
        == "adapter/adapter_config.json: key 'target_modules': takes in 'model.layers.1.self_attn.q_proj', which has "
        + "no tensors in the adapter, the nearest is '\(q)'")
  }

  @Test func `a target that nothing matches names the nearest`() throws {
    #expect(
      try message(sample(q, targets: [q, "mlp.up_porj"])).text
        == "adapter/adapter_config.json: key 'target_modules': 'mlp.up_porj': matches no module of the adapter, the "
        + "nearest is 'mlp.up_proj'")
  }

  @Test func `a tensor that no target takes in is named`() throws {
    let other = "model.layers.1.mlp.up_proj"
    #expect(
      try message(sample(q, other, targets: [q])).text
        == "adapter/adapter_config.json: key 'target_modules': leaves out '\(other)', which has tensors in the adapter"
    )
  }

  @Test func `a replaced tensor that is not in the base names the nearest`() throws {
    var sample = sample(q)
    sample.add("model.nrom.weight", [128])
    #expect(
      try message(sample).text
        == "adapter/adapter_model.safetensors: tensor 'base_model.model.model.nrom.weight': matches no tensor in "
        + "'model', the nearest is 'model.norm.weight'")
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
    #expect(
      try message(sample(k)).text
        == "adapter/adapter_model.safetensors: tensor 'base_model.model.\(k).lora_B.weight': shape is [128, 4], "
        + "expected [64, 4]")
  }

  @Test func `a bias without one to take it in is refused`() throws {
    var sample = SampleAdapter(rank: 4, alpha: 6, targets: [q], [.init("lora_bias", .bool(true))])
    sample.add(q, rank: 4, inputs: 128, outputs: 128)
    sample.add(q + ".lora_B.bias", [128])
    #expect(try message(sample).text.contains("the module has no bias in 'model' that could take it in"))
  }

  @Test func `an adapter of a tied embedding is refused`() throws {
    let name = "model.embed_tokens"
    var sample = SampleAdapter(rank: 4, alpha: 6, targets: [name])
    sample.add(name + ".lora_embedding_A", [4, 1024])
    sample.add(name + ".lora_embedding_B", [128, 4])
    let result = try message(sample, on: TinyModel { $0.tiesEmbeddings = true })
    #expect(result.text.contains("which has them tied"))
    #expect((result.error as? PassError)?.isNotExact == true)
    #expect(try message(sample).text == "")
  }

  @Test func `plain means of every column are no pooling`() throws {
    #expect(
      try message(sample(q), .qaLora).text.contains(
        "128 columns, which are no groups of the 128 of the module"))
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
