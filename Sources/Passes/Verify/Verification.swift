public import Checkpoints
public import Models

/// The result of comparing a candidate with a reference, with the limits that were asked for.
public struct Verification: PassReport {
  /// One limit and whether it is kept.
  public struct Check: Sendable, Equatable {
    /// The measure, as in recipes: `max_mean_kl`.
    public let name: String
    /// What was measured.
    public let value: Double
    /// What was allowed.
    public let limit: Double
    /// Whether the value keeps the limit; never true for NaN.
    public let passed: Bool
  }

  /// What was measured.
  public let comparison: Comparison
  /// The limits, one at least.
  public let checks: [Check]

  /// Whether every limit is kept.
  public var passed: Bool { checks.allSatisfy(\.passed) }

  /// Holds a comparison against limits.
  init(_ comparison: Comparison, _ options: VerifyOptions) {
    self.comparison = comparison
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
    self.checks = checks
  }

  /// The values, in their order, by the keys that other programs rely on.
  public var items: [ReportItem] {
    [
      ReportItem("passed", .flag(passed)),
      ReportItem("mean_kl", .number(comparison.meanKL)),
      ReportItem("max_kl", .number(comparison.maxKL)),
      ReportItem("max_abs_logit_difference", .number(comparison.maxAbsoluteLogitDifference)),
      ReportItem("top1_agreement", .number(comparison.top1Agreement)),
      ReportItem("perplexity_reference", .number(comparison.reference.perplexity)),
      ReportItem("perplexity_candidate", .number(comparison.candidate.perplexity)),
      ReportItem("tokens_scored", .integer(comparison.reference.tokensScored)),
      ReportItem("windows", .integer(comparison.reference.windows)),
      ReportItem("window", .integer(comparison.reference.window)),
      ReportItem("checks", .document(.array(checks.map(\.json)))),
    ]
  }

  /// The limits that are not kept, as a phrase.
  public var failure: String {
    checks.filter { !$0.passed }.map { "\($0.name) is \($0.value), the limit is \($0.limit)" }
      .joined(separator: "; ")
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
  /// Compares two checkpoints on the same tokens, both in one pass over the text.
  ///
  /// - Parameters:
  ///   - reference: Whose tokenizer reads the text.
  ///   - candidate: What is judged.
  ///   - options: The text, the windows and the limits; `against` is the caller's to resolve.
  ///   - original: The model that writes windows; nil lets the reference write them.
  ///   - progress: Told after each window.
  /// - Throws: `ModelError` when the two cannot be compared or the text is too short.
  public init(
    reference: Checkpoint, candidate: Checkpoint, _ options: VerifyOptions, original: Checkpoint? = nil,
    progress: @escaping ProgressHandler = { _ in }
  ) throws {
    let windows = try options.windows(reference: reference, original: original ?? reference, progress)
    let model = try Transformer(reference)
    try model.requireTokens(windows, from: Tokenizer.path(in: reference))
    let comparison = try model.compare(with: try Transformer(candidate), on: windows, progress: progress)
    self.init(comparison, options)
  }
}

extension VerifyOptions {
  /// The windows that both sides read: those of the text, or those that the original model writes.
  fileprivate func windows(
    reference: Checkpoint, original: Checkpoint, _ progress: @escaping ProgressHandler
  ) throws -> [[Int32]] {
    if let text {
      return try EvaluationWindows(
        path: text.resolved, window: window, maxTokens: maxTokens, tokenizer: try Tokenizer(of: reference)
      ).windows
    }
    let count = sampled ?? 1
    let source = WindowSource(texts: [], samples: count, sampled: count, length: window, seed: seed)
    return try SampledWindows.write(source, original: original, progress: progress)
  }
}
