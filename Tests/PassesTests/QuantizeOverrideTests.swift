import Checkpoints
import Kernels
import Models
import Passes
import TestSupport
import Testing

/// Recipes that give some modules other bits and group sizes than all others.
@Suite struct QuantizeOverrideTests {
  private static let text = PathOption(Fixtures.path("tiny-llama/calibration.txt"))

  private func mixed(_ method: QuantizeMethod = .rtn) throws -> QuantizeOptions {
    var options = try QuantizeOptions {
      $0.method = method
      $0.tables = .bf16
      $0.overrides = [
        QuantizeOverride(targets: try patterns("*.mlp.*"), bits: 3),
        QuantizeOverride(
          targets: try patterns("v_proj", "model.layers.0.mlp.up_proj"), bits: 4, groupSize: 32),
        QuantizeOverride(targets: try patterns("model.layers.0.mlp.up_proj"), groupSize: 128),
      ]
    }
    if method == .gptq { (options.texts, options.samples, options.length) = ([Self.text], 4, 64) }
    return options
  }

  private func expectMixture(_ checkpoint: Checkpoint, sourceLocation: SourceLocation = #_sourceLocation) {
    let found = checkpoint.contents.quantization
    let expected: [(String, Int, Int)] = [
      ("self_attn.q_proj", 2, 64), ("mlp.down_proj", 3, 64), ("self_attn.v_proj", 4, 32),
      ("mlp.up_proj", 4, 128),
    ]
    for (name, bits, groupSize) in expected {
      let parameters = QuantizedLayout(bits: bits, groupSize: groupSize)
      #expect(found["model.layers.0." + name] == parameters, sourceLocation: sourceLocation)
    }
    #expect(
      found["model.layers.1.mlp.up_proj"] == QuantizedLayout(bits: 3, groupSize: 64),
      sourceLocation: sourceLocation)
  }

  @Test(arguments: [QuantizeMethod.rtn, .hqq, .search, .gptq])
  func `the last override that names a module holds`(method: QuantizeMethod) throws {
    let output = try Workbench().run(.quantize(try mixed(method))).checkpoint
    expectMixture(output)
    #expect(output.tensor(named: "model.layers.0.self_attn.v_proj.scales")?.shape == [64, 4])
    #expect(output.tensor(named: "model.layers.0.mlp.down_proj.weight")?.shape == [128, 12])
  }

  @Test(arguments: ["mixed.rilq", "mixed"])
  func `what is mixed reads back`(name: String) throws {
    let bench = try Workbench()
    let output = try bench.run(.quantize(try mixed()), to: name)
    expectMixture(output.checkpoint)
    let alone = try bench.run(
      .quantize(
        QuantizeOptions {
          $0.bits = 4
          $0.groupSize = 128
          $0.tables = .bf16
        }), to: "alone.rilq"
    ).checkpoint
    let weight = "model.layers.0.mlp.up_proj.weight"
    #expect(try output.checkpoint.copiedBytes(of: weight) == alone.copiedBytes(of: weight))
  }

  @Test func `the plan says what each module becomes, and how many bits all take`() throws {
    let bench = try Workbench()
    let recipe = Recipe(
      input: PathOption(bench.input.path), output: PathOption(bench.folder.path("out.rilq")),
      passes: [.quantize(try mixed())])
    let plan = try Pipeline(recipe, Pipeline.Options(version: "0.0.0")).plan()
    let actions = plan.passes[0].changes.map { "\($0.name): \($0.action)" }
    #expect(actions.contains("model.layers.0.self_attn.v_proj: rtn, 4 bits, groups of 32"))
    #expect(actions.contains("model.layers.1.self_attn.q_proj: rtn, 2 bits, groups of 64"))
    let output = try bench.run(.quantize(try mixed())).checkpoint
    #expect(plan.bitsPerWeight == output.contents.bitsPerWeight)
    #expect(plan.bitsPerWeight > 2.5 && plan.bitsPerWeight < 4)
  }

  @Test func `a mixed model is attached to, calibrated, merged and verified`() throws {
    let bench = try Workbench()
    let result = try bench.run(
      .quantize(try mixed()),
      .attach(AttachOptions { $0.rank = 2 }),
      .calibrate(
        CalibrateOptions {
          $0.texts = [Self.text]
          $0.samples = 4
          $0.length = 32
          $0.updates = 2
          $0.batch = 2
          $0.validation = 2
        }),
      .merge(MergeOptions { $0.tables = .f32 }),
      .verify(
        VerifyOptions {
          $0.text = Self.text
          $0.against = .unmerged
          $0.window = 64
          $0.maxTokens = 256
        }),
      to: "whole.rilq")
    expectMixture(result.checkpoint)
    #expect(result["passed"] == .bool(true))
    #expect(result.checkpoint.contents.adapter == nil)
    let tokens = try Tokenizer(of: result.checkpoint).encode("In the beginning God created the heaven")
    #expect(try result.checkpoint.logits(tokens).allSatisfy { $0.isFinite })
  }

  @Test func `a pattern that none of the selected modules has is refused`() throws {
    let bench = try Workbench()
    var options = try mixed()
    options.ignore = try patterns("v_proj")
    #expect(throws: PassError.unmatchedPattern("v_proj", at: nil, nearest: "model.layers.0.self_attn.k_proj"))
    {
      try bench.run(.quantize(options))
    }
    #expect(try bench.folder.names() == ["model"])
  }

  @Test func `a group size of an override must divide the columns`() throws {
    let bench = try Workbench(TinyModel { $0.hiddenSize = 192 })
    let options = try QuantizeOptions {
      $0.overrides = [QuantizeOverride(targets: try patterns("q_proj"), groupSize: 128)]
    }
    let name = "model.layers.0.self_attn.q_proj.weight"
    #expect(throws: PassError.divisibility(tensor: name, columns: 192, groupSize: 128, fitting: [64, 32])) {
      try bench.run(.quantize(options))
    }
  }

  @Test func `a recipe writes its overrides so that they read back`() throws {
    let recipe = try parse(
      recipeText(
        passes:
          "quantize: {overrides: [{targets: ['*.mlp.*'], bits: 3}, {targets: [v_proj], group_size: 32}]}"
      ))
    #expect(try parse(recipe.resolvedYAML()) == recipe)
    let overrides = [
      QuantizeOverride(targets: try patterns("*.mlp.*"), bits: 3),
      QuantizeOverride(targets: try patterns("v_proj"), groupSize: 32),
    ]
    #expect(
      recipe.passes == [
        .quantize(QuantizeOptions { $0.overrides = overrides })
      ])
  }

  @Test func `a pattern without a match names its line`() throws {
    let bench = try Workbench()
    let yaml = """
      input: \(bench.input.path)
      output: \(bench.folder.path("out.rilq"))
      passes:
        - quantize:
            overrides:
              - {targets: ["*.v_prj"], bits: 4}
      """
    let expected =
      "recipes/r.yaml: line 6: key 'passes.0.quantize.overrides.0.targets.0': pattern '*.v_prj' matches no module, "
      + "the nearest is 'model.layers.0.self_attn.v_proj'"
    #expect(
      message { _ = try Pipeline(try parse(yaml), Pipeline.Options(version: "0.0.0")).plan() } == expected)
  }
}
