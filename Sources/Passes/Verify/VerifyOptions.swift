/// What a candidate is compared with.
public enum VerifyReference: Sendable, Equatable {
  /// The state before the last merge.
  case unmerged
  /// The input of the recipe.
  case input
  /// Another checkpoint.
  case path(PathOption)
}

/// What the verify pass does, and the limits beyond which it fails.
public struct VerifyOptions: Sendable, Equatable {
  /// The limit of the mean KL that applies when no limit is given.
  public static let defaultMaxMeanKL = 1e-6
  /// The limit of the largest KL that applies when no limit is given.
  public static let defaultMaxKL = 1e-4

  /// The limit of the largest difference of two logits that applies when no limit is given.
  ///
  /// Logits show a change of a single scale that the distributions hide: a shift of all logits alike, or of
  /// improbable tokens.
  public static let defaultMaxLogitDifference = 1e-3

  /// The text that both sides read, UTF-8; nil reads windows that the original model writes.
  public var text: PathOption?
  /// The windows that the original model writes, without a text.
  public var sampled: Int?
  /// The seed of the windows that the original model writes.
  public var seed: UInt64
  /// What is compared with; nil means `unmerged` after a merge and `input` otherwise.
  public var against: VerifyReference?
  /// The tokens a window, at least 2.
  public var window: Int
  /// The tokens of the text that are used, at least a window; nil uses all.
  public var maxTokens: Int?
  /// The limit of the KL divergence at any token, in nats.
  public var maxKL: Double?
  /// The limit of the mean KL divergence over all tokens, in nats.
  public var maxMeanKL: Double?
  /// The limit of the absolute difference of any two logits.
  public var maxLogitDifference: Double?
  /// The least share of tokens whose most probable successor is the same, `0...1`.
  public var minTop1Agreement: Double?
  /// The limit of the candidate's perplexity divided by the reference's.
  public var maxPerplexityRatio: Double?

  /// Takes the text and the values that differ from the defaults.
  ///
  /// Without any limit `maxMeanKL`, `maxKL` and `maxLogitDifference` become their defaults, which an exact merge into
  /// f32 tables keeps, so that a verification can always fail.
  public init(
    text: PathOption?, sampled: Int? = nil, seed: UInt64 = 1, against: VerifyReference? = nil,
    window: Int = 512, maxTokens: Int? = nil,
    maxKL: Double? = nil, maxMeanKL: Double? = nil, maxLogitDifference: Double? = nil,
    minTop1Agreement: Double? = nil, maxPerplexityRatio: Double? = nil
  ) {
    self.text = text
    self.sampled = sampled
    self.seed = seed
    self.against = against
    self.window = window
    self.maxTokens = maxTokens
    self.maxKL = maxKL
    self.maxMeanKL = maxMeanKL
    self.maxLogitDifference = maxLogitDifference
    self.minTop1Agreement = minTop1Agreement
    self.maxPerplexityRatio = maxPerplexityRatio
    let limits = [maxKL, maxMeanKL, maxLogitDifference, minTop1Agreement, maxPerplexityRatio]
    if limits.allSatisfy({ $0 == nil }) {
      (self.maxMeanKL, self.maxKL) = (Self.defaultMaxMeanKL, Self.defaultMaxKL)
      self.maxLogitDifference = Self.defaultMaxLogitDifference
    }
  }
}
