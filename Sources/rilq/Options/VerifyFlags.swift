import ArgumentParser
import Passes

/// The options of `verify`; their rules are the recipe's.
struct VerifyFlags: ParsableArguments {
  @Option(help: "The text that both models read, UTF-8.")
  var text: String?

  @Option(help: "Without a text: how many windows the reference writes itself.")
  var sampled: String?

  @Option(help: "The seed of the windows that the reference writes (default: 1).")
  var seed: String?

  @Option(help: "The tokens of a window (default: 512).")
  var window: String?

  @Option(help: "Use only the first tokens of the text.")
  var maxTokens: String?

  @Option(help: "The limit of the KL divergence at any position, in nats (default without any limit: 1e-4).")
  var maxKl: String?

  @Option(help: "The limit of the mean KL divergence, in nats (default without any limit: 1e-6).")
  var maxMeanKl: String?

  @Option(help: "The limit of the absolute difference of two logits (default without any limit: 1e-3).")
  var maxLogitDifference: String?

  @Option(help: "The least share of positions with the same most probable token.")
  var minTop1Agreement: String?

  @Option(help: "The limit of the candidate's perplexity over the reference's.")
  var maxPerplexityRatio: String?

  /// The flags that were given, as keys of a recipe.
  var given: [PassFlag] {
    [PassFlag].collect(
      values: [
        ("text", text),
        ("sampled", sampled),
        ("seed", seed),
        ("window", window),
        ("max_tokens", maxTokens),
        ("max_kl", maxKl),
        ("max_mean_kl", maxMeanKl),
        ("max_logit_difference", maxLogitDifference),
        ("min_top1_agreement", minTop1Agreement),
        ("max_perplexity_ratio", maxPerplexityRatio),
      ])
  }
}
