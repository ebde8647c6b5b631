import Checkpoints
import Models
import Passes
import TestSupport
import Testing

@Suite struct RotateTests {
  private static let text = PathOption(Fixtures.path("tiny-llama/calibration.txt"))

  @Test(arguments: [[RotateOptions.Part.residual], [.heads], [.residual, .heads]], [false, true])
  func `changes no logit but by rounding`(parts: [RotateOptions.Part], ties: Bool) throws {
    // 96 and heads of 24 are no powers of two.
    let model = TinyModel {
      $0.hiddenSize = 96
      $0.tiesEmbeddings = ties
      $0.dtype = .f32
    }
    let bench = try Workbench(model)
    let result = try bench.run(
      .rotate(RotateOptions { $0.parts = parts }))
    let logits = try bench.input.logits(sampleTokens)
    #expect(largestDifference(try result.checkpoint.logits(sampleTokens), logits) < 2e-4)
    let values = "model.layers.1.self_attn.v_proj.weight"
    let difference = largestDifference(
      try Fixtures.floats(values, in: bench.input), try Fixtures.floats(values, in: result.checkpoint))
    #expect(difference > 0.05, "nothing was rotated")
    #expect(result["adds_output_head"]?.bool == (ties && parts.contains(.residual)))
  }

  @Test func `makes norms 1 and an output head of the embedding a tensor of its own`() throws {
    let bench = try Workbench(TinyModel { $0.tiesEmbeddings = true })
    let rotated = try bench.run(.rotate(RotateOptions()), to: "rotated").checkpoint
    for norm in ["model.norm", "model.layers.0.input_layernorm", "model.layers.1.post_attention_layernorm"] {
      #expect(try Fixtures.floats(norm + ".weight", in: rotated).allSatisfy { $0 == 1 })
    }
    #expect(rotated.tensor(named: "lm_head.weight")?.shape == [1024, 128])
    #expect(rotated.contents.tensors.count == bench.input.contents.tensors.count + 1)
    #expect(try ModelConfiguration(of: rotated).tiesEmbeddings == false)
  }

  @Test func `leaves the norms and the stream when heads alone are rotated`() throws {
    let bench = try Workbench(TinyModel { $0.tiesEmbeddings = true })
    let rotated = try bench.run(
      .rotate(RotateOptions { $0.parts = [.heads] })
    ).checkpoint
    try expectSameTensors(bench.input, rotated) { $0.contains("v_proj") || $0.contains("o_proj") }
    #expect(try ModelConfiguration(of: rotated).tiesEmbeddings)
    #expect(rotated.tensor(named: "lm_head.weight") == nil)
  }

  @Test func `a dtype with more digits rounds less`() throws {
    let bench = try Workbench()
    let kept = try bench.run(.rotate(RotateOptions()), to: "kept.rilq")
    let half = try bench.run(
      .rotate(RotateOptions { $0.dtype = .f16 }), to: "half.rilq")
    #expect(kept.checkpoint.tensor(named: "lm_head.weight")?.dtype == .bf16)
    #expect(half.checkpoint.tensor(named: "lm_head.weight")?.dtype == .f16)
    let (coarse, fine) = try (
      #require(kept["relative_rounding"]?.double), #require(half["relative_rounding"]?.double)
    )
    // bf16 has 8 digits, f16 has 11; rounding loses 1 / √12 of the last one, of a number that is 1.4 of it at least.
    #expect(coarse > 1e-3 && coarse < 2.3e-3)
    #expect(fine > coarse / 16 && fine < coarse / 4)
  }

  @Test func `the configuration names the dtype that weights get`() throws {
    let bench = try Workbench()
    var configuration = try JSONValue(contentsOf: bench.folder.path("model/config.json"))
    configuration.set("dtype", to: .string("bfloat16"))
    try bench.folder.write("model/config.json", configuration.compactText)
    for (parts, name) in [([RotateOptions.Part.residual], "float16"), ([.heads], "bfloat16")] {
      try bench.run(
        .rotate(
          RotateOptions {
            $0.parts = parts
            $0.dtype = .f16
          }), to: name)
      let written = try JSONValue(contentsOf: bench.folder.path("\(name)/config.json"))
      #expect(written["dtype"]?.string == name)
      #expect(written["torch_dtype"] == nil)
    }
  }

  /// What a later step is planned for has the output head, and a configuration that says so.
  @Test func `an output head of its own goes to GGUF in the same recipe`() throws {
    let bench = try Workbench(TinyModel { $0.tiesEmbeddings = true })
    let file = try bench.run(
      .rotate(RotateOptions { $0.dtype = .f32 }), to: "out.gguf"
    ).checkpoint
    #expect(file.tensor(named: "lm_head.weight")?.shape == [1024, 128])
    let logits = try bench.input.logits(sampleTokens)
    #expect(largestDifference(try file.logits(sampleTokens), logits) < 2e-4)
  }

  @Test func `the same seed gives the same weights, another seed others`() throws {
    let bench = try Workbench()
    let name = "model.layers.0.mlp.up_proj.weight"
    let weights = try [3, 3, 4].enumerated().map { i, seed in
      try bench.run(
        .rotate(RotateOptions { $0.seed = UInt64(seed) }), to: "\(i).rilq"
      ).checkpoint.copiedBytes(
        of: name)
    }
    #expect(weights[0] == weights[1])
    #expect(weights[0] != weights[2])
  }

  @Test func `spreads an outlier, so that rounding to 2 bits loses less`() throws {
    // One feature of the stream has weights ten times as large as the others, and so has one of each group of 64.
    let bench = try Workbench { name, values in
      guard name.hasSuffix("mlp.up_proj.weight") || name.hasSuffix("mlp.gate_proj.weight") else { return }
      for i in stride(from: 5, to: values.count, by: 64) { values[i] *= 10 }
    }
    var options = QuantizeOptions()
    options.targets = try patterns("up_proj", "gate_proj")
    let plain = try bench.run(.quantize(options), to: "plain.rilq")
    let rotated = try bench.run(.rotate(RotateOptions()), .quantize(options), to: "rotated.rilq")
    let errors = try [plain, rotated].map { try #require($0["relative_error"]?.double) }
    #expect(errors[1] < 0.8 * errors[0], "\(errors)")
  }

  /// What is calibrated afterwards is compared with the rotated model, whose hidden states are rotated, too.
  @Test func `one recipe makes what two make, one after the other`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let rotate = PassOptions.rotate(RotateOptions { $0.dtype = .f32 })
    var calibration = CalibrateOptions {
      $0.texts = [Self.text]
      $0.samples = 8
      $0.length = 64
      $0.updates = 4
      $0.batch = 2
      $0.learningRate = 2e-3
      $0.validation = 0
    }
    calibration.train = [.bias, .scale]
    let (quantize, calibrate) = (PassOptions.quantize(QuantizeOptions()), PassOptions.calibrate(calibration))
    let whole = try bench.run(rotate, quantize, calibrate, to: "whole.rilq")
    let rotated = try bench.run(rotate, to: "rotated.rilq").checkpoint
    let parts = try bench.run(quantize, calibrate, on: rotated, to: "parts.rilq")
    try expectSameTensors(whole.checkpoint, parts.checkpoint)
    #expect(whole["training_last"] == parts["training_last"])
  }

  @Test(arguments: RotateOptions.Part.allCases)
  func `an original in another basis is refused`(part: RotateOptions.Part) throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let rotate = PassOptions.rotate(RotateOptions { $0.parts = [part] })
    let student = try bench.run(rotate, .quantize(QuantizeOptions()), to: "q.rilq").checkpoint
    var options = CalibrateOptions {
      $0.texts = [Self.text]
      $0.samples = 8
      $0.length = 64
      $0.updates = 1
      $0.batch = 2
    }
    options.teacher = PathOption(bench.input.path)
    let text = message { try bench.run(.calibrate(options), on: student) }
    let name = part == .residual ? "embeddings" : "values in the first layer"
    #expect(
      text.contains("the \(name) of the two models have nothing in common; if one was rotated"), "\(text)")
    var attach = AttachOptions { $0.kind = .dense }
    attach.initialization = .loftq
    attach.teacher = PathOption(bench.input.path)
    #expect(throws: ModelError.self) { try bench.run(.attach(attach), on: student) }
  }

  @Test func `refuses quantized weights and adapters`() throws {
    let bench = try Workbench()
    let rotate = PassOptions.rotate(RotateOptions())
    #expect(
      message { try bench.run(.quantize(QuantizeOptions()), rotate) }.says(
        "rotate: … 'model.layers.0.mlp.down_proj' … quantized … 'rotate' … 'quantize' …"))
    let text = message { try bench.run(.attach(AttachOptions { $0.kind = .dense }), rotate) }
    #expect(text.hasSuffix("has an adapter; merge it first"))
    #expect(try bench.folder.names() == ["model"])
  }

  @Test func `refuses a width whose matrix would take too much memory`() throws {
    let bench = try Workbench()
    var configuration = try JSONValue(contentsOf: bench.folder.path("model/config.json"))
    configuration.set("hidden_size", to: .integer(4106))
    configuration.set("head_dim", to: .integer(32))
    try bench.folder.write("model/config.json", configuration.compactText)
    let text = message { try bench.run(.rotate(RotateOptions())) }
    #expect(text.hasSuffix("a width of 4106 has the odd factor 2053; the limit is 2048"), "\(text)")
  }

  @Test func `names a value that is not finite, and one that does not fit`() throws {
    let name = "model.layers.1.mlp.down_proj.weight"
    // Row 3: rotated, the NaN would be in every row of its column.
    let broken = try Workbench { if $0 == name { $1[3 * 128 + 7] = .nan } }
    #expect(message { try broken.run(.rotate(RotateOptions())) }.says("tensor '\(name)': value 391 … finite"))
    let large = try Workbench { if $0 == name { $1[7] = 1e9 } }
    let text = message {
      try large.run(
        .rotate(RotateOptions { $0.dtype = .f16 }))
    }
    #expect(text.hasPrefix("tensor '\(name)': value ") && text.hasSuffix(" is not finite"))
    #expect(try large.folder.names() == ["model"])
  }
}

/// Models whose configuration ties the embeddings and that have a head all the same, or none of the usual names.
@Suite struct RotateOddModelTests {
  private let bench: Workbench

  init() throws { bench = try Workbench() }

  private func worstLogitDifference(_ a: Checkpoint, _ b: Checkpoint) throws -> Float {
    largestDifference(try a.logits(sampleTokens), try b.logits(sampleTokens))
  }

  @Test func `keeps a head of other values beside tied embeddings`() throws {
    let input = try bench.input.writeFolder(to: bench.folder.path("different")) { $0.tieEmbeddings() }
    let rotated = try bench.run(.rotate(RotateOptions { $0.dtype = .f32 }), on: input)
    #expect(rotated["adds_output_head"] == .bool(false))
    #expect(try ModelConfiguration(of: rotated.checkpoint).tiesEmbeddings == false)
    #expect(rotated.checkpoint.notices == [])
    // Rounding of singles, as above, of logits that are ten times as large.
    #expect(try worstLogitDifference(rotated.checkpoint, input) < 2e-3)
  }

  @Test func `makes the head anew that is equal to the embedding`() throws {
    let embedding = try #require(bench.input.tensor(named: "model.embed_tokens.weight"))
    let bytes = try bench.input.copiedBytes(of: embedding.name)
    let input = try bench.input.writeFolder(to: bench.folder.path("equal")) {
      $0.tieEmbeddings(beside: bytes, like: embedding)
    }
    let rotated = try bench.run(.rotate(RotateOptions { $0.dtype = .f32 }), on: input)
    #expect(rotated["adds_output_head"] == .bool(true))
    #expect(try worstLogitDifference(rotated.checkpoint, input) < 2e-3)
  }

  @Test func `rotates a model without the usual prefix`() throws {
    let bare = try bench.input.writeFolder(to: bench.folder.path("bare")) {
      $0.rename = { $0.hasPrefix("model.") ? String($0.dropFirst("model.".count)) : $0 }
    }
    let rotated = try bench.run(.rotate(RotateOptions { $0.dtype = .f32 }), on: bare).checkpoint
    #expect(try worstLogitDifference(rotated, bare) < 2e-3)
    #expect(try rotated.copiedBytes(of: "embed_tokens.weight") != bare.copiedBytes(of: "embed_tokens.weight"))
  }

  @Test(arguments: [4096, 16_777_216])
  func `a configuration of many layers is refused at once`(layerCount: Int) throws {
    let hostile = try bench.input.writeFolder(to: bench.folder.path("hostile")) {
      $0.configuration["num_hidden_layers"] = .integer(layerCount)
    }
    let text = message { try bench.run(.rotate(RotateOptions()), on: hostile) }
    let expected =
      layerCount > 4096
      ? "key 'num_hidden_layers'" : "tensor 'model.layers.2.input_layernorm.weight' is missing"
    #expect(text.contains(expected), "\(text)")
  }
}

/// Rotation of every family, exact or refused by name.
@Suite struct RotateFamilyTests {
  /// Rounding of f32 weights, in logits of a few units.
  private static let tolerance: Float = 1e-3
  /// The module that keeps the residual stream of a family from being rotated, in its first layer.
  private static let streamObstacles = [
    "gemma2": "post_attention_layernorm", "gemma3": "post_attention_layernorm",
    "gemma3-wrapped": "post_attention_layernorm", "olmo2": "post_attention_layernorm",
    "olmo3": "post_attention_layernorm", "glm4": "post_self_attn_layernorm", "cohere2": "norm",
    "starcoder2": "norm", "gpt-neox": "final_layer_norm",
  ]

  private let bench: Workbench

  init() throws { bench = try Workbench() }

  private func rotate(_ part: RotateOptions.Part, _ input: Checkpoint) throws -> Checkpoint {
    try bench.run(.rotate(RotateOptions { $0.parts = [part] }), on: input, to: "rotated").checkpoint
  }

  @Test(arguments: FamilyFixture.denseNames)
  func `rotates the stream of a family, or names the module in the way`(name: String) throws {
    let fixture = try FamilyFixture(name)
    let input = try fixture.write(to: bench.folder.path("input"), dtype: .f32)
    if let obstacle = Self.streamObstacles[name] {
      let text = message { _ = try rotate(.residual, input) }
      #expect(text.contains("\(obstacle)'") && text.contains("residual"), "\(text)")
      return
    }
    let rotated = try rotate(.residual, input)
    let embedding = try ModelLayout(of: input).embedding.name
    #expect(try rotated.copiedBytes(of: embedding) != input.copiedBytes(of: embedding))
    #expect(
      largestDifference(try rotated.logits(fixture.tokens), try input.logits(fixture.tokens)) < Self.tolerance
    )
    #expect(rotated.notices == input.notices)
  }

  @Test(arguments: FamilyFixture.denseNames)
  func `rotates the heads of a family, or names the layer in the way`(name: String) throws {
    let fixture = try FamilyFixture(name)
    let input = try fixture.write(to: bench.folder.path("input"), dtype: .f32)
    guard name != "gpt-neox" else {
      let text = message { _ = try rotate(.heads, input) }
      #expect(text.contains("layer 'gpt_neox.layers.0'") && text.contains("heads"), "\(text)")
      return
    }
    let rotated = try rotate(.heads, input)
    let changed = input.contents.tensors.map(\.name).filter {
      (try? rotated.copiedBytes(of: $0) == input.copiedBytes(of: $0)) == false
    }
    #expect(changed.contains { $0.contains("v_proj.weight") || $0.contains("qkv_proj.weight") })
    #expect(changed.contains { $0.contains("o_proj.weight") })
    #expect(
      largestDifference(try rotated.logits(fixture.tokens), try input.logits(fixture.tokens)) < Self.tolerance
    )
  }

  @Test func `a norm that stores the difference from 1 becomes 0, and a bias of the stream is rotated`()
    throws
  {
    let gemma = try rotate(.residual, FamilyFixture("gemma").write(to: bench.folder.path("gemma")))
    let norm = try Fixtures.floats("model.layers.0.input_layernorm.weight", in: gemma)
    #expect(norm.allSatisfy { $0 == 0 })
    let llama = try FamilyFixture("llama").write(to: bench.folder.path("llama"), dtype: .f32)
    let rotated = try bench.run(.rotate(RotateOptions { $0.parts = [.residual] }), on: llama).checkpoint
    for (name, changes) in [("mlp.down_proj", true), ("mlp.up_proj", false), ("self_attn.v_proj", false)] {
      let bias = "model.layers.0.\(name).bias"
      #expect(try (rotated.copiedBytes(of: bias) != llama.copiedBytes(of: bias)) == changes)
    }
  }
}
