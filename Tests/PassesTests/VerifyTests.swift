import Checkpoints
import Models
import Passes
import TestSupport
import Testing

@Suite struct VerifyTests {
  private static let text = PathOption(Fixtures.path("tiny-llama/evaluation.txt"))

  private func options(_ change: (inout VerifyOptions) -> Void = { _ in }) -> VerifyOptions {
    var options = VerifyOptions {
      $0.text = Self.text
      $0.window = 64
      $0.maxTokens = 256
    }
    change(&options)
    return options
  }

  @Test func `a checkpoint equals itself`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let verification = try Verification(reference: bench.input, candidate: bench.input, options())
    #expect(verification.passed)
    #expect(
      verification.checks.map(\.name) == ["max_kl", "max_mean_kl", "max_logit_difference", "max_collapsed"])
    #expect(verification.comparison.maxAbsoluteLogitDifference == 0)
    #expect(verification.comparison.top1Agreement == 1)
    #expect(verification.comparison.reference.tokensScored == 4 * 63)
  }

  @Test func `both perplexities are those of the evaluation`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let quantized = try bench.run(.quantize(QuantizeOptions())).checkpoint
    let verification = try Verification(reference: bench.input, candidate: quantized, options())
    #expect(!verification.passed)
    let windows = try EvaluationWindows(
      path: Self.text.resolved, window: 64, maxTokens: 256, tokenizer: Tokenizer(of: bench.input)
    ).windows
    let reference = try Transformer(bench.input).evaluate(windows)
    let candidate = try Transformer(quantized).evaluate(windows)
    #expect(abs(verification.comparison.reference.perplexity / reference.perplexity - 1) < 1e-6)
    #expect(abs(verification.comparison.candidate.perplexity / candidate.perplexity - 1) < 1e-6)
    #expect(verification.comparison.meanKL <= verification.comparison.maxKL)
  }

  @Test func `fails when a single scale is changed by a tenth`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let quantized = try bench.run(.quantize(QuantizeOptions())).checkpoint
    let changed = try quantized.copy(to: bench.folder.path("changed.rilq")) { name, values in
      if name == "model.layers.2.mlp.down_proj.scales" { values[40] *= 1.1 }
    }
    #expect(try Verification(reference: quantized, candidate: quantized, options()).passed)
    #expect(!(try Verification(reference: quantized, candidate: changed, options()).passed))
  }

  @Test func `a change too small for the divergences fails by its logits`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let quantized = try bench.run(.quantize(QuantizeOptions())).checkpoint
    let changed = try quantized.copy(to: bench.folder.path("changed.rilq")) { name, values in
      if name == "model.layers.2.mlp.down_proj.scales" { values[40] *= 1.01 }
    }
    let verification = try Verification(reference: quantized, candidate: changed, options())
    #expect(verification.checks.filter { !$0.passed }.map(\.name) == ["max_logit_difference"])
  }

  /// A limit, the value it is for, and whether the value has to stay below.
  struct Limit: Sendable, CustomTestStringConvertible {
    let name: String
    let set: @Sendable (inout VerifyOptions, Double) -> Void
    var isUpper = true
    var testDescription: String { name }
  }

  private static let limits = [
    Limit(name: "max_kl") { $0.maxKL = $1 }, Limit(name: "max_mean_kl") { $0.maxMeanKL = $1 },
    Limit(name: "max_logit_difference") { $0.maxLogitDifference = $1 },
    Limit(name: "max_perplexity_ratio") { $0.maxPerplexityRatio = $1 },
    Limit(name: "min_top1_agreement", set: { $0.minTop1Agreement = $1 }, isUpper: false),
    Limit(
      name: "min_equal_tokens",
      set: {
        $0.minEqualTokens = $1
        $0.prompts = ["In the beginning", "And he said,"]
      }, isUpper: false),
  ]

  @Test(arguments: limits)
  func `passes at a limit and fails beyond it`(limit: Limit) throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let quantized = try bench.run(.quantize(QuantizeOptions())).checkpoint
    func check(_ value: Double) throws -> Verification.Check {
      let options = options {
        $0.maxMeanKL = nil
        $0.maxKL = nil
        $0.maxLogitDifference = nil
        limit.set(&$0, value)
      }
      let checks = try Verification(reference: bench.input, candidate: quantized, options).checks
        .filter { $0.name != "max_collapsed" }
      try #require(checks.map(\.name) == [limit.name])
      return checks[0]
    }
    let value = try check(0.5).value
    #expect(value > 0 && value.isFinite)
    #expect(try check(value).passed)
    #expect(!(try check(limit.isUpper ? value.nextDown : value.nextUp).passed))
  }

  @Test func `a candidate that computes NaN is refused by the name of its tensor`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let broken = try bench.input.copy(to: bench.folder.path("broken.rilq")) { name, values in
      if name == "model.norm.weight" { values[0] = .nan }
    }
    let lenient = options {
      $0.maxMeanKL = .greatestFiniteMagnitude
      $0.maxKL = .greatestFiniteMagnitude
      $0.maxLogitDifference = .greatestFiniteMagnitude
      $0.maxPerplexityRatio = .greatestFiniteMagnitude
    }
    let text = message { _ = try Verification(reference: bench.input, candidate: broken, lenient) }
    #expect(text.hasPrefix(broken.path) && text.contains("'model.norm.weight': value 0"), "\(text)")
  }

  @Test(arguments: ["lora_A", "lora_B"])
  func `an adapter that is not finite is refused by the name of its tensor`(factor: String) throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let name = "model.layers.1.mlp.down_proj.\(factor).weight"
    let adapted = try bench.run(.attach(AttachOptions { $0.kind = .dense })).checkpoint
    let broken = try adapted.copy(to: bench.folder.path("broken.rilq")) { tensor, values in
      if tensor == name { values[7] = .infinity }
    }
    let text = message { _ = try Verification(reference: bench.input, candidate: broken, options()) }
    #expect(text.hasPrefix(broken.path) && text.contains("'\(name)': value 7"), "\(text)")
  }

  @Test func `both sides continue the beginnings of windows at equal distances`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let quantized = try bench.run(.quantize(QuantizeOptions())).checkpoint
    let options = options {
      $0.continuations = 2
      $0.continuationTokens = 24
    }
    let verification = try Verification(reference: bench.input, candidate: quantized, options)
    let tokens = try Tokenizer(of: bench.input).encode(contentsOf: Self.text.resolved)
    let prompts = [0, 2].map { Array(tokens[64 * $0..<64 * $0 + 16]) }
    let expected = try Transformer(bench.input).compareGeneration(
      with: Transformer(quantized), from: prompts, tokenCount: 24, endTokens: [1])
    #expect(verification.generation == expected)
    let generation = try #require(verification.json["generation"])
    #expect(generation["prompts"]?.integer == 2 && generation["tokens"]?.integer == 24)
    #expect(generation["mean_equal_tokens"]?.double == expected.meanEqualTokens)
    #expect(generation["shortest_equal_tokens"]?.integer == expected.shortestEqualTokens)
    #expect(expected.shortestEqualTokens < 24)
  }

  @Test func `a candidate that repeats one token fails where the reference does not`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    // A final norm of zeros gives equal logits everywhere, so that the first token is always the best.
    let collapsed = try bench.input.copy(to: bench.folder.path("collapsed.rilq")) { name, values in
      if name == "model.norm.weight" { values = values.map { _ in 0 } }
    }
    func checks(_ reference: Checkpoint, _ change: (inout VerifyOptions) -> Void = { _ in }) throws
      -> [Verification.Check]
    {
      let options = options {
        $0.maxMeanKL = .greatestFiniteMagnitude
        $0.prompts = ["And the LORD said unto", "In the beginning"]
        change(&$0)
      }
      return try Verification(reference: reference, candidate: collapsed, options).checks
    }
    let failed = try #require(try checks(bench.input).last)
    #expect(failed.name == "max_collapsed" && failed.value == 2 && failed.limit == 1 && !failed.passed)
    #expect(try checks(bench.input) { $0.maxCollapsed = 2 }.last?.passed == true)
    #expect(try checks(collapsed).last?.passed == true)
    let off = try checks(bench.input) {
      $0.prompts = []
      $0.continuations = 0
    }
    #expect(off.map(\.name) == ["max_mean_kl"])
  }

  @Test func `a prompt beyond the context is refused, windows are shortened`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    #expect(throws: ModelError.self) {
      _ = try Verification(
        reference: bench.input, candidate: bench.input,
        options {
          $0.prompts = ["In"]
          $0.continuationTokens = 512
        })
    }
    let verification = try Verification(
      reference: bench.input, candidate: bench.input, options { $0.continuationTokens = 512 })
    #expect(verification.generation?.tokenCount == 512 - 16)
  }

  @Test func `refuses models with other vocabularies`() throws {
    let bench = try Workbench(TinyModel { $0.vocabularySize = 1088 })
    let other = try TinyModel().write(to: bench.folder.path("other"))
    #expect(throws: ModelError.incomparable("the vocabularies have 1088 and 1024 tokens")) {
      _ = try Verification(reference: bench.input, candidate: other, options())
    }
  }
}
