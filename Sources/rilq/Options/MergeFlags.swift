import ArgumentParser
import Passes

/// The options of `merge`; their rules are the recipe's.
struct MergeFlags: ParsableArguments {
  @Option(help: "The dtype of the merged scales and biases: f32, f16 or bf16 (default: as they are).")
  var tables: String?

  @Option(
    help: "How a pooled adapter is meant: peft, as its configuration says (default), or qa-lora, plain means."
  )
  var pooling: String?

  @Flag(help: "Allow folding a dense adapter into packed weights by quantizing again, which is lossy.")
  var requantize = false

  /// The flags that were given, as keys of a recipe.
  var given: [PassFlag] {
    [PassFlag].collect(
      values: [
        ("tables", tables),
        ("pooling", pooling),
      ], switches: [("requantize", requantize)])
  }
}
