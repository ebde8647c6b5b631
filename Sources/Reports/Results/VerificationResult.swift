import Checkpoints

/// The result of comparing two models on the same tokens.
package struct VerificationResult: Sendable {
  /// A limit and the measured value.
  package struct Check: Sendable {
    /// The name of the limit.
    package let name: String
    /// The measured value.
    package let value: Double?
    /// The limit.
    package let limit: Double?
    /// Whether the limit holds.
    package let passed: Bool
  }

  /// What both models write after one prompt.
  package struct Continuation: Sendable {
    /// The text that both continue.
    package let prompt: String
    /// The reference's continuation.
    package let reference: String
    /// The candidate's continuation.
    package let candidate: String
  }

  /// Whether all limits hold.
  package let passed: Bool
  /// The reference: `unmerged`, `input` or a path; nil outside of a recipe.
  package let against: String?
  /// The text; nil when the original model wrote the windows, or it is not recorded.
  package let text: String?
  /// Mean and largest Kullback-Leibler divergence in nats per token.
  package let kl: (mean: Double?, max: Double?)
  /// The share of tokens for which both models rank the same token first.
  package let top1Agreement: Double?
  /// The perplexities of the two models.
  package let perplexity: (reference: Double?, candidate: Double?)
  /// The number of scored tokens.
  package let tokensScored: Int?
  /// The limits.
  package let checks: [Check]
  /// The continuations, one per prompt.
  package let continuations: [Continuation]

  /// Reads the values of a comparison; nil when there is none.
  init?(_ document: JSONValue, text: String?) {
    guard let passed = document["passed"]?.bool else { return nil }
    self.passed = passed
    self.text = text
    against = document["against"]?.string
    kl = (document["mean_kl"]?.double, document["max_kl"]?.double)
    top1Agreement = document["top1_agreement"]?.double
    perplexity = (document["perplexity_reference"]?.double, document["perplexity_candidate"]?.double)
    tokensScored = document["tokens_scored"]?.integer
    checks = (document["checks"]?.array ?? []).compactMap(Check.init)
    continuations = (document["continuations"]?.array ?? []).compactMap(Continuation.init)
  }
}

extension VerificationResult.Check {
  fileprivate init?(_ document: JSONValue) {
    guard let name = document["name"]?.string, let passed = document["passed"]?.bool else { return nil }
    self.init(
      name: name, value: document["value"]?.double, limit: document["limit"]?.double, passed: passed)
  }
}

extension VerificationResult.Continuation {
  fileprivate init?(_ document: JSONValue) {
    guard let prompt = document["prompt"]?.string, let reference = document["reference"]?.string,
      let candidate = document["candidate"]?.string
    else { return nil }
    self.init(prompt: prompt, reference: reference, candidate: candidate)
  }
}
