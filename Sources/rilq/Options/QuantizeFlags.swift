import ArgumentParser
import Passes

/// The options of `quantize`; their rules are the recipe's.
struct QuantizeFlags: ParsableArguments {
  @Option(help: "How codes are found: rtn (default), search, hqq, gptq or nf2 (dense).")
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

  @Option(
    help: ArgumentHelp(
      "The text whose windows give the statistics of inputs; gptq needs one, search makes use of one.",
      discussion: "Plain, or .jsonl with a 'text' in each line; may be repeated."))
  var text: [String] = []

  @Option(help: "The windows (default: 64).")
  var samples: String?

  @Option(help: "The windows that the model writes itself instead (default: 0).")
  var sampled: String?

  @Option(help: "The tokens a window (default: 512).")
  var length: String?

  @Option(help: "The seed of the choice of windows (default: 1).")
  var seed: String?

  @Option(
    help: "The share of the mean diagonal that gptq and propagation add to the diagonal (default: 0.01).")
  var damping: String?

  @Flag(help: "gptq: columns in the order of decreasing activation, groups from the original weights.")
  var activationOrder = false

  @Option(help: "search: a file of the importance of inputs, in place of a text.")
  var importance: String?

  @Option(help: "A file to write the importance of inputs to.")
  var importanceOutput: String?

  @Flag(help: "Fit scales and biases to the codes, by the text.")
  var refit = false

  @Option(help: "How often every code is chosen again, by the text (default: 0).")
  var sweeps: String?

  @Option(
    help: "The share of earlier layers' error that linears are corrected for, by the text (default: 0).")
  var propagation: String?

  @Option(help: "How often each layer's codes and tables are trained on the windows (default: 0).")
  var layerEpochs: String?

  @Option(help: "The windows of one update of a layer (default: 4).")
  var layerBatch: String?

  @Option(
    help: "The peak learning rate of a layer's scales and biases, in units of the step (default: 0.002).")
  var layerLearningRate: String?

  @Option(help: "The peak learning rate of a layer's codes, in units of the step (default: 0.02).")
  var layerCodeRate: String?

  @Option(
    help: ArgumentHelp(
      "What operands of products are rounded to, with windows: f32, bf16 (default: f32).",
      discussion: "bf16 is faster where the processor has AVX512-BF16, and the same as f32 elsewhere."))
  var products: String?

  @Option(help: "The bits of a weight, tables included, distributed over the modules by the text.")
  var bitsPerWeight: String?

  /// The flags that were given, as keys of a recipe.
  var given: [PassFlag] {
    [PassFlag].collect(
      values: [
        ("method", method),
        ("bits", bits),
        ("group_size", groupSize),
        ("tables", tables),
        ("samples", samples),
        ("sampled", sampled),
        ("length", length),
        ("seed", seed),
        ("damping", damping),
        ("sweeps", sweeps),
        ("propagation", propagation),
        ("layer_epochs", layerEpochs),
        ("layer_batch", layerBatch),
        ("layer_learning_rate", layerLearningRate),
        ("layer_code_rate", layerCodeRate),
        ("products", products),
        ("bits_per_weight", bitsPerWeight),
        ("importance", importance),
        ("importance_output", importanceOutput),
      ], lists: [("text", text), ("targets", targets), ("ignore", ignore)],
      switches: [("activation_order", activationOrder), ("refit", refit)])
  }
}
