import Checkpoints
import Foundation
import Passes
import Testing

@Suite struct RecipeTests {
  private static let example = """
    input: Fixtures/tiny-llama
    output: out/tiny-llama.rilq
    passes:
      - rotate: {parts: [heads], seed: 3, dtype: f16}
      - quantize: {method: rtn, bits: 2, group_size: 64, ignore: [lm_head, model.embed_tokens]}
      - attach: {kind: pooled, rank: 16}
      - calibrate: {text: Fixtures/tiny-llama/calibration.txt, samples: 256, length: 128, updates: 200, seed: 1}
      - merge: {}
      - verify: {text: Fixtures/tiny-llama/evaluation.txt, max_kl: 1e-4}
    """

  @Test func `reads every pass of a full recipe`() throws {
    let recipe = try Recipe(parsing: Self.example, path: "r.yaml")
    let fixture = "Fixtures/tiny-llama"
    #expect(recipe.input == PathOption(fixture))
    #expect(recipe.output == PathOption("out/tiny-llama.rilq"))
    #expect(recipe.outputFormat == .rilq)
    #expect(recipe.variables.isEmpty)
    #expect(
      recipe.passes == [
        .rotate(RotateOptions(parts: [.heads], seed: 3, dtype: .f16)),
        .quantize(
          QuantizeOptions(
            method: .rtn, bits: 2, groupSize: 64,
            ignore: [try ModulePattern("lm_head"), try ModulePattern("model.embed_tokens")])),
        .attach(AttachOptions(kind: .pooled, rank: 16)),
        .calibrate(
          CalibrateOptions(
            text: PathOption("\(fixture)/calibration.txt"), samples: 256, length: 128, updates: 200, seed: 1)),
        .merge(MergeOptions()),
        .verify(
          VerifyOptions(text: PathOption("\(fixture)/evaluation.txt"), against: .unmerged, maxKL: 1e-4)),
      ])
    #expect(recipe.passes.map(\.name) == PassOptions.names)
  }

  @Test func `takes a recipe without passes`() throws {
    #expect(try parse("input: in\noutput: out\npasses: []").passes.isEmpty)
  }

  @Test(arguments: [
    ("a.rilq", OutputFormat.rilq), ("a.gguf", .gguf), ("a", .safetensors), ("a.rilq/b", .safetensors),
  ])
  func `infers the output format from the name`(output: String, format: OutputFormat) throws {
    #expect(try parse("input: in\noutput: \(output)\npasses: []").outputFormat == format)
  }

  @Test func `prefers the output format that is given`() throws {
    #expect(try parse("input: in\noutput: a.rilq\nto: mlx\npasses: []").outputFormat == .mlx)
  }

  @Test func `starts relative paths from the recipe's folder`() throws {
    let recipe = try parse(
      "input: /abs/in\noutput: ../out\npasses: [verify: {text: t.txt, against: other}]")
    #expect(recipe.input == PathOption("/abs/in"))
    #expect(recipe.output.resolved == "recipes/../out")
    #expect(
      recipe.passes == [
        .verify(
          VerifyOptions(
            text: PathOption("t.txt", in: "recipes"), against: .path(PathOption("other", in: "recipes"))))
      ])
  }

  @Test func `starts from the root for a recipe there`() throws {
    let recipe = try Recipe(parsing: "input: in\noutput: out\npasses: []", path: "/r.yaml")
    #expect(recipe.input.resolved == "/in")
  }

  @Test(arguments: [("1e-4", 1e-4), ("1e-3", 1e-3), ("0.5", 0.5), (".5", 0.5), ("2", 2), ("1.5E+0", 1.5)])
  func `reads numbers with and without exponents`(text: String, value: Double) throws {
    let pass = try parsePass("verify: {text: t, max_kl: \(text)}")
    #expect(
      pass
        == .verify(
          VerifyOptions(text: PathOption("t", in: "recipes"), against: .input, maxKL: value)))
  }

  @Test func `reads every option of every pass`() throws {
    let text = PathOption("t", in: "recipes")
    #expect(
      try parsePass("quantize: {bits: 3, group_size: 32, targets: ['*_proj'], tables: bf16}")
        == .quantize(
          QuantizeOptions(bits: 3, groupSize: 32, targets: [try ModulePattern("*_proj")], tables: .bf16)))
    #expect(
      try parsePass("attach: {kind: dense, rank: 8, alpha: 32, ignore: [up_proj], seed: 7}")
        == .attach(
          AttachOptions(kind: .dense, rank: 8, alpha: 32, ignore: [try ModulePattern("up_proj")], seed: 7)))
    var calibrate = CalibrateOptions(
      text: text, samples: 1, length: 2, updates: 3, batch: 4, learningRate: 1e-3, validation: 0,
      patience: 6, validateEvery: 7, seed: 8, modelWeight: 0, groundTruthWeight: 1, klWeight: 2,
      scope: .layer, schedule: .cosine, warmup: 2, train: [.scale, .bias])
    (calibrate.klTopK, calibrate.klTemperature, calibrate.products) = (9, 1.5, .bf16)
    #expect(
      try parsePass(
        """
        calibrate: {text: t, samples: 1, length: 2, updates: 3, batch: 4, learning_rate: 1e-3, validation: 0,
             patience: 6, validate_every: 7, seed: 8, model_weight: 0, ground_truth_weight: 1, kl_weight: 2, kl_top_k: 9,
             kl_temperature: 1.5, scope: layer, schedule: cosine, warmup: 2, products: bf16,
             train: [scale, bias]}
        """)
        == .calibrate(calibrate))
    #expect(
      try parsePass("merge: {requantize: true, tables: f16}")
        == .merge(MergeOptions(requantize: true, tables: .f16)))
    #expect(
      try parsePass(
        """
        verify: {text: t, against: input, window: 8, max_tokens: 9, max_kl: 1, max_mean_kl: 2,
             max_logit_difference: 3, min_top1_agreement: 0.5, max_perplexity_ratio: 1.1}
        """)
        == .verify(
          VerifyOptions(
            text: text, against: .input, window: 8, maxTokens: 9, maxKL: 1, maxMeanKL: 2,
            maxLogitDifference: 3, minTop1Agreement: 0.5, maxPerplexityRatio: 1.1)))
  }

  @Test func `takes null for a key that may be left out`() throws {
    #expect(try parsePass("quantize: {targets: null}") == .quantize(QuantizeOptions()))
  }

  @Test func `limits KL and logits when no limit is given`() {
    let options = VerifyOptions(text: PathOption("t"))
    #expect(options.maxMeanKL == 1e-6 && options.maxKL == 1e-4 && options.maxLogitDifference == 1e-3)
    let limited = VerifyOptions(text: PathOption("t"), maxKL: 1)
    #expect(limited.maxMeanKL == nil && limited.maxLogitDifference == nil)
  }

  @Test func `compares with the input unless a merge comes before`() throws {
    let recipe = try parse(recipeText(passes: "verify: {text: t}", "merge: {}", "verify: {text: t}"))
    let references = recipe.passes.compactMap { pass -> VerifyReference? in
      guard case .verify(let options) = pass else { return nil }
      return options.against
    }
    #expect(references == [.input, .unmerged])
  }

  @Test func `follows aliases`() throws {
    let recipe = try parse(
      recipeText(passes: "verify: &same {text: t, max_kl: 1}", "merge: {}", "verify: *same"))
    guard case .verify(let last) = recipe.passes[2] else {
      Issue.record("the last pass is \(recipe.passes[2].name)")
      return
    }
    #expect(last.maxKL == 1)
  }

  @Test func `reads a file`() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "recipe-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let file = folder.appending(path: "r.yaml")
    try Data("input: in\noutput: out\npasses: []".utf8).write(to: file)
    let path = file.path(percentEncoded: false)
    #expect(try Recipe(contentsOf: path).input.resolved == "\(folder.path(percentEncoded: false))/in")

    try Data([0xFF, 0xFE, 0x41]).write(to: file)
    #expect(message { _ = try Recipe(contentsOf: path) } == "\(path): is not UTF-8")
  }
}
