/// The checkpoint that a candidate is compared with.
public enum VerifyReference: Sendable, Equatable {
  /// The state before the last merge.
  case unmerged
  /// The input of the recipe.
  case input
  /// Another checkpoint.
  case path(PathOption)
}

/// The options of the verify pass, and the limits beyond which it fails.
public struct VerifyOptions: PassOptionValues {
  /// The default limit of the mean KL, used when no limit is given.
  public static let defaultMaxMeanKL = 1e-6
  /// The default limit of the largest KL, used when no limit is given.
  public static let defaultMaxKL = 1e-4

  /// The default limit of the largest difference of two logits, used when no limit is given.
  ///
  /// Logits show changes of a single scale that the distributions hide, such as a shift of all logits or of
  /// those of improbable tokens.
  public static let defaultMaxLogitDifference = 1e-3

  /// The UTF-8 text for both sides; nil reads windows that the original model generates.
  public var text: PathOption?
  /// The number of windows that the original model generates when there is no text.
  public var sampled: Int?
  /// The seed of the generated windows.
  public var seed: UInt64 = 1
  /// The reference; nil means `unmerged` after a merge and `input` otherwise.
  public var against: VerifyReference?
  /// The number of tokens per window, at least 2.
  public var window = 512
  /// The number of tokens of the text to use, at least one window; nil for all.
  public var maxTokens: Int?
  /// The number of windows whose beginnings both sides continue; 0 for none, unused with `prompts`.
  public var continuations = 4
  /// The maximum number of tokens that both sides write after each prompt, at least 8.
  public var continuationTokens = 24
  /// The texts that both sides continue; empty selects the beginnings of windows.
  public var prompts: [String] = []
  /// The limit of the number of prompts where the candidate's continuation collapses and the reference's does
  /// not; nil for half of the prompts.
  public var maxCollapsed: Int?
  /// The minimum of the mean number of first tokens that both sides write alike.
  public var minEqualTokens: Double?
  /// The limit of the KL divergence at any token, in nats.
  public var maxKL: Double?
  /// The limit of the mean KL divergence over all tokens, in nats.
  public var maxMeanKL: Double?
  /// The limit of the absolute difference of any two logits.
  public var maxLogitDifference: Double?
  /// The minimum fraction of tokens with the same most probable successor, `0...1`.
  public var minTop1Agreement: Double?
  /// The limit of the candidate's perplexity divided by the reference's.
  public var maxPerplexityRatio: Double?

  /// Every option has its default; the source of windows must be set.
  public init() {}

  /// Whether both sides continue prompts.
  var comparesGeneration: Bool { continuations > 0 || !prompts.isEmpty }
}
