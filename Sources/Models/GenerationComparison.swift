/// How far the continuations of a candidate are from those of a reference, prompt by prompt.
public struct GenerationComparison: Sendable, Equatable {
  /// The continuations of one prompt.
  public struct Pair: Sendable, Equatable {
    /// The reference's.
    public let reference: Continuation
    /// The candidate's.
    public let candidate: Continuation

    /// Pairs two continuations of the same prompt.
    public init(reference: Continuation, candidate: Continuation) {
      self.reference = reference
      self.candidate = candidate
    }
  }

  /// One per prompt, at least one.
  public let pairs: [Pair]
  /// The maximum number of tokens of a continuation.
  public let tokenCount: Int

  /// Pairs continuations.
  public init(_ pairs: [Pair], tokenCount: Int) {
    precondition(!pairs.isEmpty, "there is no prompt to compare")
    self.pairs = pairs
    self.tokenCount = tokenCount
  }
}

extension GenerationComparison {
  /// The number of first tokens that both models write, one per prompt; `tokenCount` when the continuations
  /// are identical, also when both end early.
  public var equalTokens: [Int] {
    pairs.map {
      $0.reference == $0.candidate ? tokenCount : $0.reference.equalCount(with: $0.candidate)
    }
  }

  /// The mean of `equalTokens`.
  public var meanEqualTokens: Double { Double(equalTokens.reduce(0, +)) / Double(pairs.count) }
  /// The smallest of `equalTokens`.
  public var shortestEqualTokens: Int { equalTokens.min() ?? 0 }
  /// The number of prompts that both models continue identically.
  public var identicalCount: Int { pairs.count { $0.reference == $0.candidate } }

  /// The mean share of repeated sequences of tokens on one side.
  public func meanRepetition(_ side: KeyPath<Pair, Continuation>) -> Double {
    pairs.reduce(0) { $0 + $1[keyPath: side].repetition } / Double(pairs.count)
  }

  /// The number of collapsed continuations on one side.
  public func collapsedCount(_ side: KeyPath<Pair, Continuation>) -> Int {
    pairs.count { $0[keyPath: side].isCollapsed }
  }

  /// The number of prompts where the candidate's continuation is collapsed and the reference's is not.
  public var newlyCollapsedCount: Int {
    pairs.count { $0.candidate.isCollapsed && !$0.reference.isCollapsed }
  }
}

extension Transformer {
  /// Lets this model and a candidate continue the same prompts and compares the continuations.
  ///
  /// - Parameters:
  ///   - candidate: The other model, with the same vocabulary.
  ///   - prompts: At least one, each with at least one token.
  ///   - tokenCount: The maximum number of tokens to write after each prompt, at least 1.
  ///   - endTokens: The tokens that end a text.
  ///   - progress: Called after each token.
  /// - Returns: The continuations of both models.
  /// - Throws: `ModelError.incomparable` when the vocabularies differ; `.contextTooLong`, `.tokenOutOfRange`,
  ///   `.notFinite`.
  package func compareGeneration(
    with candidate: Transformer, from prompts: [[Int32]], tokenCount: Int, endTokens: [Int32],
    progress: ProgressHandler = { _ in }
  ) throws -> GenerationComparison {
    try requireSameVocabulary(as: candidate)
    let sides = try [self, candidate].enumerated().map { index, model in
      try model.continuations(of: prompts, tokenCount: tokenCount, endTokens: endTokens) { count in
        progress(
          Progress(
            phase: "continue", completed: index * prompts.count * tokenCount + count,
            total: 2 * prompts.count * tokenCount, detail: "\(prompts.count) prompts"))
      }
    }
    return GenerationComparison(
      zip(sides[0], sides[1]).map { GenerationComparison.Pair(reference: $0, candidate: $1) },
      tokenCount: tokenCount)
  }
}
