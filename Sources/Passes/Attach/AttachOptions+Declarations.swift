import Checkpoints

extension AttachOptions {
  /// Every option, in the order in which it is written; for an adapter of PEFT only the options that name it.
  @PassOptionTable<Self> public static var declarations: [PassOption<Self>] {
    newDeclarations.map { $0.when { $0.adapter == nil } }
    adapterDeclarations("a new adapter", "folder of a PEFT adapter to put beside the weights unchanged")
  }

  @PassOptionTable<Self> private static var newDeclarations: [PassOption<Self>] {
    Option(
      "kind", \.kind, .word,
      "whether A sees every input or the mean of each group; only pooled adapters merge exactly")
    Option("rank", \.rank, .integer(in: 1...rankLimit), "rows of A")
    Option("alpha", \.alpha, .number(.above(0)), "the update is `alpha / rank * B * A`")
    Option("init", \.initialization, .word, "initialization of A and B")
    Option("targets", \.targets, .targets, "modules that get an adapter")
      .byDefault("all linears of the layers")
    Option("ignore", \.ignore, .patterns, "modules that get none")
    Option("seed", \.seed, .seed, "seed of the values in A and of the choice of windows")
    Option("text", \.text, .path, "`qera`, `atc`: text that windows are taken from")
      .byDefault("required").when(\.initialization.usesText)
    Option(
      "samples", \.samples, .integer(in: 1...1_000_000),
      "`qera`, `atc`: windows; `atc` takes gradients from 16 of them at most"
    ).when(\.initialization.usesText)
    Option(
      "length", \.length, .integer(in: 2...CalibrateOptions.lengthLimit), "`qera`, `atc`: tokens per window"
    ).when(\.initialization.usesText)
    Option(
      "iterations", \.iterations, .integer(in: 1...iterationLimit),
      "`loftq`: rounds of quantizing and approximating; above 1 for dense adapters only"
    ).when { $0.initialization == .loftq }
    Option(
      "teacher", \.teacher, .path,
      "`loftq`, `qera`, `atc`: original model, whose weights are approximated"
    ).byDefault("the input of the recipe").when(\.initialization.usesTeacher)
    Option(
      "eta", \.eta, .number(.aboveUpTo(0, 1)), "`atc`: share of the alignment that is applied"
    ).when { $0.initialization == .atc }
    Option(
      "tau", \.tau, .number(.within(0...1)),
      "`atc`: largest step down the loss, as a share of the alignment's length"
    ).when { $0.initialization == .atc }
  }

  /// Rejects an initialization without its inputs, and options that have no effect.
  public func validate(_ given: GivenOptions, after previous: [PassOptions]) throws {
    try requireAdapter(given)
    if adapter != nil, let other = given.keys.first(where: { !Self.adapterKeys.contains($0) }) {
      throw given.misplaced(other, "does not go with 'adapter', which has its own")
    }
    if initialization.usesText, text == nil {
      throw given.failure("the initialization '\(initialization.rawValue)' needs a 'text'")
    }
    if initialization == .loftq, iterations > 1, kind == .pooled {
      throw given.failure(
        "more than 1 of 'iterations' need adapters of the kind 'dense': rounding would cancel the biases that a "
          + "pooled adapter adds"
      )
    }
    let useless =
      (initialization.usesText ? [] : ["text", "samples", "length"])
      + (initialization == .loftq ? [] : ["iterations"])
      + (initialization.usesTeacher ? [] : ["teacher"])
      + (initialization == .atc ? [] : ["eta", "tau"])
    for key in useless where given.has(key) {
      throw given.failure("'\(key)' is not used by the initialization '\(initialization.rawValue)'")
    }
  }
}
