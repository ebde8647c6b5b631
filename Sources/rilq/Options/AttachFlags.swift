import ArgumentParser
import Passes

/// The options of `attach`; their rules are the recipe's.
struct AttachFlags: ParsableArguments {
  @Option(help: "What the adapter sees: pooled (default; merges exactly) or dense.")
  var kind: String?

  @Option(help: "The rows of A (default: 16).")
  var rank: String?

  @Option(help: "The update is alpha / rank * B * A (default: 16).")
  var alpha: String?

  @Option(
    parsing: .upToNextOption, help: "The modules that get an adapter (default: all linears of the layers).")
  var targets: [String] = []

  @Option(parsing: .upToNextOption, help: "The modules that get none.")
  var ignore: [String] = []

  @Option(help: "The seed of A (default: 1).")
  var seed: String?

  @Option(help: "An adapter of PEFT to put beside the weights instead of a new one.")
  var adapter: String?

  @Option(help: "How a pooled adapter is meant: peft (default), or qa-lora, plain means.")
  var pooling: String?

  /// The flags that were given, as keys of a recipe.
  var given: [PassFlag] {
    [PassFlag].collect(
      values: [
        ("kind", kind),
        ("rank", rank),
        ("alpha", alpha),
        ("seed", seed),
        ("adapter", adapter),
        ("pooling", pooling),
      ], lists: [("targets", targets), ("ignore", ignore)])
  }
}
