import ArgumentParser
import Passes

/// The options of `rotate`; their rules are the recipe's.
struct RotateFlags: ParsableArguments {
  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      "What is rotated: residual, heads (default: both).",
      discussion: """
        residual is the stream between layers; where the output head is the embedding, it becomes a tensor of its own. heads \
        are the values of attention.
        """))
  var parts: [String] = []

  @Option(help: "The seed of the rotations (default: 1).")
  var seed: String?

  @Option(
    help: "The dtype of the rotated weights: f32, f16 or bf16 (default: as they are, rounded once).")
  var dtype: String?

  /// The flags that were given, as keys of a recipe.
  var given: [PassFlag] {
    [PassFlag].collect(values: [("seed", seed), ("dtype", dtype)], lists: [("parts", parts)])
  }
}
