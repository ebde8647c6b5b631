import ArgumentParser
import Passes

/// The options of `quantize`; their rules are the recipe's.
struct QuantizeFlags: ParsableArguments {
  @Option(help: "How codes are found: rtn (default).")
  var method: String?

  @Option(help: "The width of a code: 2 (default), 3, 4 or 8.")
  var bits: String?

  @Option(help: "The columns that share a scale and a bias: 32, 64 (default) or 128.")
  var groupSize: String?

  @Option(
    parsing: .upToNextOption,
    help: "The modules to quantize: globs or re:EXPRESSION (default: all linears of the layers).")
  var targets: [String] = []

  @Option(parsing: .upToNextOption, help: "The modules to leave as they are.")
  var ignore: [String] = []

  @Option(help: "The dtype of scales and biases: f32 (default), f16 or bf16.")
  var tables: String?

  /// The flags that were given, as keys of a recipe.
  var given: [PassFlag] {
    [PassFlag].collect(
      values: [
        ("method", method),
        ("bits", bits),
        ("group_size", groupSize),
        ("tables", tables),
      ], lists: [("targets", targets), ("ignore", ignore)])
  }
}
