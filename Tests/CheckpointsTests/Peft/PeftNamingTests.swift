import Checkpoints
import TestSupport
import Testing

/// The names that transformers gives the modules of a model inside a larger one.
@Suite struct PeftNamingTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func adapter(_ modules: [String], targets: [String] = ["q_proj"]) throws -> PeftAdapter {
    var sample = SampleAdapter(rank: 2, alpha: 3, targets: targets)
    for module in modules { sample.add(module, rank: 2, inputs: 4, outputs: 4) }
    return try sample.write(to: "adapter", in: folder)
  }

  @Test(arguments: [
    ("model.layers.0.q_proj", "model.layers.0.q_proj"),
    // Gemma 3 and Mistral 3: the whole model, as older versions named it, and the text part alone.
    ("model.language_model.layers.0.q_proj", "language_model.model.layers.0.q_proj"),
    ("language_model.model.layers.0.q_proj", "language_model.model.layers.0.q_proj"),
    ("model.layers.0.q_proj", "language_model.model.layers.0.q_proj"),
    ("lm_head", "language_model.lm_head"),
    ("model.vision_tower.layers.0.q_proj", "vision_tower.layers.0.q_proj"),
    // Qwen 3.5: the whole model, and the text part alone.
    ("model.language_model.layers.0.q_proj", "model.language_model.layers.0.q_proj"),
    ("model.layers.0.q_proj", "model.language_model.layers.0.q_proj"),
    ("lm_head", "lm_head"),
  ])
  func `a module is found in the base by the name of any class`(name: String, inBase: String) throws {
    let adapter = try adapter([name]).named { $0 == inBase + ".weight" }
    #expect(adapter.modules.map(\.name) == [inBase])
    #expect(adapter.modules.map(\.loraA.name) == ["base_model.model.\(name).lora_A.weight"])
  }

  @Test func `a whole tensor is found as well`() throws {
    var sample = SampleAdapter(rank: 2, alpha: 3, targets: ["q_proj"])
    sample.add("model.language_model.norm.weight", [4])
    let adapter = try sample.write(to: "adapter", in: folder)
      .named { $0 == "language_model.model.norm.weight" }
    #expect(adapter.replacements.map(\.name) == ["language_model.model.norm.weight"])
  }

  @Test func `a module without a place keeps its name`() throws {
    let adapter = try adapter(["model.layers.0.q_proj"]).named { _ in false }
    #expect(adapter.modules.map(\.name) == ["model.layers.0.q_proj"])
  }

  @Test func `two modules with the same place are an error`() throws {
    let adapter = try adapter(["model.language_model.a.q_proj", "language_model.model.a.q_proj", "lm_head"])
    let base: Set = ["language_model.model.a.q_proj.weight", "language_model.lm_head.weight"]
    let error = #expect(throws: FormatError.self) { try adapter.named(as: base.contains) }
    #expect(error?.place?.contains("a.q_proj") == true)
  }

  @Test func `targets match the names of the class that the adapter was made for`() throws {
    let text = "model.language_model.layers.0.q_proj"
    let (vision, base) = ("model.visual.layers.0.q_proj", Set([text + ".weight"]))
    let whole = try adapter([text]).named(as: base.contains).targetMatcher()
    #expect(whole(text) && whole(vision))
    // The text part alone has no vision tower that the targets could take in.
    let alone = try adapter(["model.layers.0.q_proj"], targets: ["model.layers.0.q_proj", "q_proj"])
      .named(as: base.contains).targetMatcher()
    #expect(alone(text) && !alone(vision))
  }

  @Test(arguments: [
    ("language_model.model.", "model.language_model."), ("model.language_model.", "model.language_model."),
    ("model.", "model."),
  ])
  func `an adapter is written by the names of transformers, and read back`(
    prefix: String, inTransformers: String
  ) throws {
    let module = prefix + "layers.0.q_proj"
    var sample = SampleCheckpoint([TensorInfo(name: module + ".weight", dtype: .f32, shape: [4, 4])])
    sample.add([
      TensorInfo(name: module + ".lora_A.weight", dtype: .f32, shape: [2, 4]),
      TensorInfo(name: module + ".lora_B.weight", dtype: .f32, shape: [4, 2]),
    ])
    sample.contents.adapter = AdapterParameters(kind: .dense, rank: 2, alpha: 6)
    try sample.write(to: folder.path)
    let file = try PeftAdapter.open(folder.path)
    #expect(file.modules.map(\.name) == [inTransformers + "layers.0.q_proj"])
    #expect(file.targetMatcher()(inTransformers + "layers.0.q_proj"))
    #expect(
      try Checkpoint.open(path: folder.path).contents.sortedTensors == sample.contents.sortedTensors)
  }
}
