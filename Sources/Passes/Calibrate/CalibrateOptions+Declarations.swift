import Checkpoints
import Kernels
import Models

extension CalibrateOptions {
  /// Far above the number of windows or updates in a real run.
  private static let countLimit = 1_000_000
  /// Far above the number of tokens that a real model reads.
  static let lengthLimit = 1 << 20

  /// Every option, in the order in which it is written.
  @PassOptionTable<Self> public static var declarations: [PassOption<Self>] {
    windowDeclarations
    trainingDeclarations
    lossDeclarations
    Option("teacher", \.teacher, .path, "original model, whose output is matched")
      .byDefault("the input of the recipe")
    Option("train", \.train, .words(elseDoing: "trains nothing"), "parts to train")
      .byDefault("the adapters, or without adapters biases and scales")
  }

  @PassOptionTable<Self> private static var windowDeclarations: [PassOption<Self>] {
    Option("text", \.texts, .texts, "texts that windows are taken from, plain or `.jsonl`")
      .byDefault("required unless the model generates all windows")
    Option("samples", \.samples, .integer(in: 1...countLimit), "windows trained on")
    Option(
      "sampled", \.sampled, .integer(in: 0...countLimit).described("integer, 0 to `samples`"),
      "how many of the windows the original model writes"
    ) { .integer(in: 0...($0.texts.isEmpty ? 1_000_000 : $0.samples)) }
    Option("length", \.length, .integer(in: 2...lengthLimit), "tokens per window")
  }

  @PassOptionTable<Self> private static var trainingDeclarations: [PassOption<Self>] {
    Option("updates", \.updates, .integer(in: 1...countLimit), "steps of the optimizer")
    Option("batch", \.batch, .integer(in: 1...countLimit), "windows per update")
    Option("learning_rate", \.learningRate, .number(.aboveUpTo(0, 1)), "peak learning rate")
      .byDefault("chosen by what is trained")
    Option(
      "learning_rate_scale", \.learningRateScale, .learningRateScale,
      "factor on the learning rate for each trained part"
    ).byDefault("all 1")
    Option(
      "validation", \.validation, .integer(in: 0...countLimit),
      "windows held back to choose the best state")
    Option(
      "patience", \.patience, .integer(in: 1...countLimit), "validations without progress before stopping")
    Option(
      "validate_every", \.validateEvery, .integer(in: 1...countLimit), "updates between validations")
    Option("seed", \.seed, .seed, "seed of the order of windows")
  }

  @PassOptionTable<Self> private static var lossDeclarations: [PassOption<Self>] {
    Option(
      "model_weight", \.modelWeight, .number(.atLeast(0)),
      "weight of the distance to the original model's output")
    Option(
      "ground_truth_weight", \.groundTruthWeight, .number(.atLeast(0)),
      "weight of the next token's cross-entropy")
    Option(
      "kl_weight", \.klWeight, .number(.atLeast(0)),
      "weight of the KL divergence from the original's distribution")
    Option(
      "kl_top_k", \.klTopK, .integer(in: 2...countLimit),
      "how many of the original's most probable tokens the divergence compares; only with a `kl_weight`"
    ).byDefault("all")
    Option(
      "kl_temperature", \.klTemperature, .number(.aboveUpTo(0, 100)),
      "temperature of the KL loss; only with a `kl_weight`")
    Option(
      "scope", \.scope, .word,
      "where the model loss compares with the original")
    Option(
      "schedule", \.schedule, .word, "shape of the learning rate after the warmup")
    Option(
      "warmup", \.warmup, .integer(in: 0...countLimit).described("integer, 0 to `updates` - 1"),
      "updates over which the learning rate rises"
    ) { .integer(in: 0...max($0.updates - 1, 0)) }
    Option("products", \.products, .word, "what the operands of products are rounded to")
  }

  /// An empty list of texts makes the original model generate all windows.
  public func completed(_ given: GivenOptions) -> Self {
    guard given.has("text"), texts.isEmpty else { return self }
    var options = self
    options.sampled = samples
    return options
  }

  /// Rejects options without a source of windows, losses without weight, and options that have no effect.
  public func validate(_ given: GivenOptions, after previous: [PassOptions]) throws {
    try requireTexts(given)
    guard modelWeight > 0 || groundTruthWeight > 0 || klWeight > 0 else {
      throw given.failure("model_weight, ground_truth_weight and kl_weight are all 0")
    }
    guard klWeight > 0 || (klTopK == nil && klTemperature == 1) else {
      throw given.failure("'kl_top_k' and 'kl_temperature' are not used when 'kl_weight' is 0")
    }
  }

  /// Rejects options without a source of windows, and a text that no window is drawn from.
  private func requireTexts(_ given: GivenOptions) throws {
    guard sampled <= samples else {
      throw given.failure(at: "sampled", "is '\(sampled)', expected an integer from 0 to \(samples)")
    }
    if texts.isEmpty, sampled == 0 { throw given.missing("text") }
    guard !texts.isEmpty || sampled == samples else {
      throw given.failure("'sampled' is less than 'samples', so there must be a 'text'")
    }
    guard texts.isEmpty || sampled < samples || validation > 0 else {
      throw given.failure("'text' is not used when 'sampled' is all windows and 'validation' is 0")
    }
    try given.requireWindows([samples - sampled, validation], for: texts)
  }
}

extension OptionKind<LearningRateScale> {
  private static var limits: NumberLimits { .aboveUpTo(0, 1000) }

  /// The learning rate factor of each part.
  static var learningRateScale: Self {
    Self(
      "map of \(Trainable.allWords) to numbers \(limits.tablePhrase)", flag: .map(entry: "part=factor")
    ) { reader in
      let map = try reader.map(keys: Trainable.allCases.map(\.rawValue))
      var scale = LearningRateScale()
      for member in map.members {
        if let part = Trainable(rawValue: member.name) { scale[part] = try member.value.number(limits) }
      }
      return scale
    } write: { scale in
      .object(Trainable.allCases.map { .init($0.rawValue, .double(scale[$0])) })
    }
  }
}

extension LearningRateScale {
  fileprivate subscript(part: Trainable) -> Double {
    get {
      switch part {
      case .adapter: adapter
      case .bias: bias
      case .scale: scale
      case .code: code
      }
    }
    set {
      switch part {
      case .adapter: adapter = newValue
      case .bias: bias = newValue
      case .scale: scale = newValue
      case .code: code = newValue
      }
    }
  }
}
