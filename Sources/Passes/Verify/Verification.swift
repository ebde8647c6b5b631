public import Checkpoints
public import Kernels
public import Models

/// The result of comparing a candidate with a reference, with the requested limits.
public struct Verification: PassReport {
  /// One limit and whether it holds.
  public struct Check: Sendable, Equatable {
    /// The measure, as in recipes: `max_mean_kl`.
    public let name: String
    /// The measured value.
    public let value: Double
    /// The limit.
    public let limit: Double
    /// Whether the value is within the limit; always false for NaN.
    public let passed: Bool
  }

  /// What both models write after one prompt.
  public struct Continuations: Sendable, Equatable {
    /// The text that both models continue.
    public let prompt: String
    /// The reference's continuation.
    public let reference: String
    /// The candidate's continuation.
    public let candidate: String
  }

  /// The measurements.
  public let comparison: Comparison
  /// The comparison of what both models write; nil if none was asked for.
  public let generation: GenerationComparison?
  /// The texts of that comparison, one per prompt; empty without it or without a tokenizer.
  public let continuations: [Continuations]
  /// The limits, at least one.
  public let checks: [Check]

  /// The reference, as in recipes: `unmerged`, `input` or a path; nil outside of recipes.
  public internal(set) var against: String?

  /// Whether all limits hold.
  public var passed: Bool { checks.allSatisfy(\.passed) }

  /// Checks comparisons against limits.
  init(
    _ comparison: Comparison, _ generation: GenerationComparison?, _ options: VerifyOptions,
    continuations: [Continuations] = []
  ) {
    self.comparison = comparison
    self.generation = generation
    self.continuations = continuations
    let options = options.withLimits
    let ratio = comparison.candidate.perplexity / comparison.reference.perplexity
    let upper: [(String, Double, Double?)] = [
      ("max_kl", comparison.maxKL, options.maxKL), ("max_mean_kl", comparison.meanKL, options.maxMeanKL),
      ("max_logit_difference", comparison.maxAbsoluteLogitDifference, options.maxLogitDifference),
      ("max_perplexity_ratio", ratio, options.maxPerplexityRatio),
    ]
    var checks = upper.compactMap { name, value, limit in
      limit.map { Check(name: name, value: value, limit: $0, passed: value <= $0) }
    }
    if let limit = options.minTop1Agreement {
      let value = comparison.top1Agreement
      checks.append(Check(name: "min_top1_agreement", value: value, limit: limit, passed: value >= limit))
    }
    self.checks = checks + (generation.map(options.checks) ?? [])
  }

  /// The values of the report, in order, by the keys that other programs rely on.
  public var items: [ReportItem] {
    [ReportItem("passed", .flag(passed))] + (against.map { [ReportItem("against", .text($0))] } ?? []) + [
      ReportItem("mean_kl", .number(comparison.meanKL)),
      ReportItem("max_kl", .number(comparison.maxKL)),
      ReportItem("max_abs_logit_difference", .number(comparison.maxAbsoluteLogitDifference)),
      ReportItem("top1_agreement", .number(comparison.top1Agreement)),
      ReportItem("perplexity_reference", .number(comparison.reference.perplexity)),
      ReportItem("perplexity_candidate", .number(comparison.candidate.perplexity)),
      ReportItem("tokens_scored", .integer(comparison.reference.tokensScored)),
      ReportItem("windows", .integer(comparison.reference.windows)),
      ReportItem("window", .integer(comparison.reference.window)),
    ] + (generation.map { [ReportItem("generation", .group($0.items))] } ?? []) + [
      ReportItem("continuations", .document(.array(continuations.map(\.json)))),
      ReportItem("checks", .document(.array(checks.map(\.json)))),
    ]
  }

  /// The limits that do not hold, as a phrase.
  public var failure: String {
    checks.filter { !$0.passed }.map { "\($0.name) is \($0.value), the limit is \($0.limit)" }
      .joined(separator: "; ")
  }
}

extension VerifyOptions {
  /// Checks the continuations against limits.
  fileprivate func checks(of generation: GenerationComparison) -> [Verification.Check] {
    let collapsed = generation.newlyCollapsedCount
    let most = maxCollapsed ?? generation.pairs.count / 2
    let check = Verification.Check(
      name: "max_collapsed", value: Double(collapsed), limit: Double(most), passed: collapsed <= most)
    guard let limit = minEqualTokens else { return [check] }
    let value = generation.meanEqualTokens
    return [
      check,
      Verification.Check(name: "min_equal_tokens", value: value, limit: limit, passed: value >= limit),
    ]
  }
}

extension GenerationComparison {
  /// The values of the report, in order, by the keys that other programs rely on.
  fileprivate var items: [ReportItem] {
    [
      ReportItem("prompts", .integer(pairs.count)),
      ReportItem("tokens", .integer(tokenCount)),
      ReportItem("mean_equal_tokens", .number(meanEqualTokens)),
      ReportItem("shortest_equal_tokens", .integer(shortestEqualTokens)),
      ReportItem("identical", .integer(identicalCount)),
      ReportItem("repetition_reference", .number(meanRepetition(\.reference))),
      ReportItem("repetition_candidate", .number(meanRepetition(\.candidate))),
      ReportItem("collapsed_reference", .integer(collapsedCount(\.reference))),
      ReportItem("collapsed_candidate", .integer(collapsedCount(\.candidate))),
      ReportItem("newly_collapsed", .integer(newlyCollapsedCount)),
    ]
  }
}

extension Verification.Continuations {
  fileprivate var json: JSONValue {
    .object([
      JSONValue.Member("prompt", .string(prompt)), JSONValue.Member("reference", .string(reference)),
      JSONValue.Member("candidate", .string(candidate)),
    ])
  }
}

extension Verification.Check {
  fileprivate var json: JSONValue {
    .object([
      JSONValue.Member("name", .string(name)), JSONValue.Member("value", .double(value)),
      JSONValue.Member("limit", .double(limit)), JSONValue.Member("passed", .bool(passed)),
    ])
  }
}

extension Verification {
  /// Compares two checkpoints on the same tokens, in one pass over the text; the reference generates windows
  /// if there is no text.
  ///
  /// - Parameters:
  ///   - reference: The checkpoint to compare with; its tokenizer reads the text.
  ///   - candidate: The checkpoint to judge.
  ///   - options: The text, the windows and the limits; the caller resolves `against`.
  ///   - group: The processes that share the windows; all of them get the result.
  ///   - progress: Called after each window.
  /// - Throws: `ModelError` when the two models cannot be compared or the text is too short.
  public init(
    reference: Checkpoint, candidate: Checkpoint, _ options: VerifyOptions,
    group: any ProcessGroup = SingleProcess(), progress: @escaping ProgressHandler = { _ in }
  ) throws {
    try self.init(
      reference: reference, candidate: candidate, options,
      SampledWindows(of: reference, group: group, progress: progress), group: group, progress: progress)
  }

  /// As above, with windows that another model may generate or that are already known.
  init(
    reference: Checkpoint, candidate: Checkpoint, _ options: VerifyOptions, _ sampled: SampledWindows,
    group: any ProcessGroup, progress: @escaping ProgressHandler
  ) throws {
    let windows = try options.windows(reference: reference, sampled)
    let model = try Transformer(reference)
    let other = try Transformer(candidate)
    let prompts = try options.prompts(from: windows, reference, model, other)
    try model.requireTokens(windows + (prompts?.tokens ?? []), from: Tokenizer.path(in: reference))
    let comparison = try model.compare(with: other, on: windows, over: group, progress: progress)
    let generation = try prompts.map { prompts in
      try model.compareGeneration(
        with: other, from: prompts.tokens, tokenCount: prompts.continuationTokens,
        endTokens: prompts.endTokens, progress: progress)
    }
    self.init(
      comparison, generation, options,
      continuations: Self.texts(of: generation, after: prompts?.tokens ?? [], in: reference))
  }

  /// Returns the texts of continuations; nothing if the reference's tokenizer cannot be read, which windows
  /// that a model writes do not need.
  private static func texts(
    of generation: GenerationComparison?, after prompts: [[Int32]], in reference: Checkpoint
  ) -> [Continuations] {
    guard let generation, let tokenizer = try? Tokenizer(of: reference) else { return [] }
    return zip(prompts, generation.pairs).map { prompt, pair in
      Continuations(
        prompt: tokenizer.decode(prompt), reference: tokenizer.decode(pair.reference.tokens),
        candidate: tokenizer.decode(pair.candidate.tokens))
    }
  }
}

extension VerifyOptions {
  /// The windows to generate; nil with a text.
  ///
  /// They are only tokens to compare on, so that the products which choose them can be the fastest ones.
  var sampledSource: WindowSource? {
    guard text == nil else { return nil }
    let count = sampled ?? 1
    return WindowSource(
      texts: [], samples: count, sampled: count, length: window, seed: seed, products: .bf16)
  }

  /// Returns the windows for both sides, from the text or generated.
  fileprivate func windows(reference: Checkpoint, _ sampled: SampledWindows) throws -> [[Int32]] {
    if let text {
      return try EvaluationWindows(
        path: text.resolved, window: window, maxTokens: maxTokens, tokenizer: try Tokenizer(of: reference)
      ).windows
    }
    return try sampledSource.map { try sampled.windows($0) } ?? []
  }
}
