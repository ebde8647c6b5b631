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

  @Option(
    help: ArgumentHelp(
      "What A and B begin with: zero (default), loftq, qera or atc.",
      discussion: """
        zero changes nothing yet; loftq is nearest to the error of the weight; qera makes the error of the output least, \
        on the inputs that --text gives; atc aligns outputs with the original's and takes a step down the loss of the text.
        """))
  var `init`: String?

  @Option(help: "The seed of A and of the choice of windows (default: 1).")
  var seed: String?

  @Option(help: "The text whose windows give the statistics of inputs; qera and atc need one.")
  var text: String?

  @Option(help: "The windows of the text (default: 64).")
  var samples: String?

  @Option(help: "The tokens a window (default: 512).")
  var length: String?

  @Option(
    help:
      "How often loftq finds a dense adapter; from the second time on the weight is rounded again for it (default: 1)."
  )
  var iterations: String?

  @Option(
    help:
      "The original model that loftq, qera and atc approximate (default: the input, which must be dense then)."
  )
  var teacher: String?

  @Option(help: "How much of its alignment atc takes (default: 1).")
  var eta: String?

  @Option(help: "The largest step down the loss, of the alignment's length; 0 for none (default: 0.1).")
  var tau: String?

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
        ("init", `init`),
        ("seed", seed),
        ("text", text),
        ("samples", samples),
        ("length", length),
        ("iterations", iterations),
        ("teacher", teacher),
        ("eta", eta),
        ("tau", tau),
        ("adapter", adapter),
        ("pooling", pooling),
      ], lists: [("targets", targets), ("ignore", ignore)])
  }
}
