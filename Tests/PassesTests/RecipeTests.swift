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
        .rotate(
          RotateOptions {
            $0.parts = [.heads]
            $0.seed = 3
            $0.dtype = .f16
          }),
        .quantize(
          try QuantizeOptions {
            $0.method = .rtn
            $0.bits = 2
            $0.groupSize = 64
            $0.ignore = [try ModulePattern("lm_head"), try ModulePattern("model.embed_tokens")]
          }),
        .attach(
          AttachOptions {
            $0.kind = .pooled
            $0.rank = 16
          }),
        .calibrate(
          CalibrateOptions {
            $0.texts = [PathOption("\(fixture)/calibration.txt")]
            $0.samples = 256
            $0.length = 128
            $0.updates = 200
            $0.seed = 1
          }),
        .merge(MergeOptions()),
        .verify(
          VerifyOptions {
            $0.text = PathOption("\(fixture)/evaluation.txt")
            $0.against = .unmerged
            $0.maxKL = 1e-4
          }),
      ])
    #expect(recipe.passes.map(\.name) == PassRegistry.standard.names)
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
    let options = try #require(recipe.passes.first?.options(of: VerifyPass.self))
    #expect(options.text == PathOption("t.txt", in: "recipes"))
    #expect(options.against == .path(PathOption("other", in: "recipes")))
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
          VerifyOptions {
            $0.text = PathOption("t", in: "recipes")
            $0.against = .input
            $0.maxKL = value
          }))
  }

  @Test func `reads every option of every pass`() throws {
    let text = PathOption("t", in: "recipes")
    #expect(
      try parsePass("quantize: {bits: 3, group_size: 32, targets: ['*_proj'], tables: bf16}")
        == .quantize(
          try QuantizeOptions {
            $0.bits = 3
            $0.groupSize = 32
            $0.targets = [try ModulePattern("*_proj")]
            $0.tables = .bf16
          }))
    #expect(
      try parsePass("attach: {kind: dense, rank: 8, alpha: 32, ignore: [up_proj], seed: 7}")
        == .attach(
          try AttachOptions {
            $0.kind = .dense
            $0.rank = 8
            $0.alpha = 32
            $0.ignore = [try ModulePattern("up_proj")]
            $0.seed = 7
          }))
    var calibrate = CalibrateOptions {
      $0.texts = [text]
      $0.samples = 1
      $0.length = 2
      $0.updates = 3
      $0.batch = 4
      $0.learningRate = 1e-3
      $0.validation = 0
      $0.patience = 6
      $0.validateEvery = 7
      $0.seed = 8
      $0.modelWeight = 0
      $0.groundTruthWeight = 1
      $0.klWeight = 2
      $0.scope = .layer
      $0.schedule = .cosine
      $0.warmup = 2
      $0.train = [.scale, .bias]
    }
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
        == .merge(
          MergeOptions {
            $0.requantize = true
            $0.tables = .f16
          }))
    #expect(
      try parsePass(
        """
        verify: {text: t, against: input, window: 8, max_tokens: 9, max_kl: 1, max_mean_kl: 2,
             max_logit_difference: 3, min_top1_agreement: 0.5, max_perplexity_ratio: 1.1}
        """)
        == .verify(
          VerifyOptions {
            $0.text = text
            $0.against = .input
            $0.window = 8
            $0.maxTokens = 9
            $0.maxKL = 1
            $0.maxMeanKL = 2
            $0.maxLogitDifference = 3
            $0.minTop1Agreement = 0.5
            $0.maxPerplexityRatio = 1.1
          }))
  }

  @Test func `takes null for a key that may be left out`() throws {
    #expect(try parsePass("quantize: {targets: null}") == .quantize(QuantizeOptions()))
  }

  @Test func `limits KL and logits when no limit is given`() throws {
    let options = try #require(try parsePass("verify: {text: t}").options(of: VerifyPass.self))
    #expect(options.maxMeanKL == 1e-6 && options.maxKL == 1e-4 && options.maxLogitDifference == 1e-3)
    let limited = try #require(try parsePass("verify: {text: t, max_kl: 1}").options(of: VerifyPass.self))
    #expect(limited.maxMeanKL == nil && limited.maxLogitDifference == nil)
  }

  @Test func `compares with the input unless a merge comes before`() throws {
    let recipe = try parse(recipeText(passes: "verify: {text: t}", "merge: {}", "verify: {text: t}"))
    let references = recipe.passes.compactMap { pass -> VerifyReference? in
      pass.options(of: VerifyPass.self)?.against
    }
    #expect(references == [.input, .unmerged])
  }

  @Test func `follows aliases`() throws {
    let recipe = try parse(
      recipeText(passes: "verify: &same {text: t, max_kl: 1}", "merge: {}", "verify: *same"))
    let last = try #require(recipe.passes[2].options(of: VerifyPass.self))
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
