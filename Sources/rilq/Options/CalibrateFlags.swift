import ArgumentParser
import Passes

/// The options of `calibrate`; their rules are the recipe's.
struct CalibrateFlags: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The text to calibrate on, UTF-8.",
      discussion: "Plain, or .jsonl with a 'text' in each line; may be repeated."))
  var text: [String] = []

  @Option(help: "The original model (default: the input).")
  var teacher: String?

  @Option(help: "The windows trained on (default: 256).")
  var samples: String?

  @Option(help: "Those of them that the original model writes itself (default: 0).")
  var sampled: String?

  @Option(help: "The tokens of a window (default: 512).")
  var length: String?

  @Option(help: "The steps of the optimizer (default: 200).")
  var updates: String?

  @Option(help: "The windows of an update (default: 8).")
  var batch: String?

  @Option(help: "Adam's learning rate (default: by what is trained).")
  var learningRate: String?

  @Option(help: "The windows held back to choose the best state (default: 16).")
  var validation: String?

  @Option(help: "The validations without progress before stopping (default: 5).")
  var patience: String?

  @Option(help: "The updates between validations (default: 25).")
  var validateEvery: String?

  @Option(help: "The seed of the windows drawn (default: 1).")
  var seed: String?

  @Option(help: "The weight of the model loss (default: 0.5).")
  var modelWeight: String?

  @Option(help: "The weight of the ground-truth loss (default: 0.5).")
  var groundTruthWeight: String?

  @Option(help: "The weight of the KL divergence from the original (default: 0).")
  var klWeight: String?

  @Option(help: "The tokens, likeliest to the original, that it compares (default: all).")
  var klTopK: String?

  @Option(help: "What logits are divided by for it (default: 1).")
  var klTemperature: String?

  @Option(help: "Where models are compared: linear, layer, model (default: model).")
  var scope: String?

  @Option(help: "How the learning rate goes on: constant, linear, cosine (default: constant).")
  var schedule: String?

  @Option(help: "The updates over which the learning rate rises (default: 0).")
  var warmup: String?

  @Option(
    help: ArgumentHelp(
      "What operands of products are rounded to: f32, bf16 (default: f32).",
      discussion: "bf16 is faster where the processor has AVX512-BF16, and the same as f32 elsewhere."))
  var products: String?

  @Option(
    parsing: .upToNextOption,
    help: "What is trained: adapter, bias, scale, code (default: the adapter, or without one bias and scale)."
  )
  var train: [String] = []

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      "What the learning rate of a part is multiplied with: adapter, bias, scale, code.",
      valueName: "part=factor"))
  var learningRateScale: [String] = []

  /// The flags that were given, as keys of a recipe.
  var given: [PassFlag] {
    [PassFlag].collect(
      values: [
        ("teacher", teacher),
        ("samples", samples),
        ("sampled", sampled),
        ("length", length),
        ("updates", updates),
        ("batch", batch),
        ("learning_rate", learningRate),
        ("validation", validation),
        ("patience", patience),
        ("validate_every", validateEvery),
        ("seed", seed),
        ("model_weight", modelWeight),
        ("ground_truth_weight", groundTruthWeight),
        ("kl_weight", klWeight),
        ("kl_top_k", klTopK),
        ("kl_temperature", klTemperature),
        ("scope", scope),
        ("schedule", schedule),
        ("warmup", warmup),
        ("products", products),
      ], lists: [("text", text), ("train", train)],
      maps: [("learning_rate_scale", learningRateScale)])
  }
}
