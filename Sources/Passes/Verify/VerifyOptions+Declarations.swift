import Checkpoints

extension VerifyOptions {
  /// Every option, in the order in which it is written.
  @PassOptionTable<Self> public static var declarations: [PassOption<Self>] {
    Option("text", \.text, .path, "text that both sides read")
      .byDefault("required without `sampled`").when { $0.text != nil }
    Option(
      "sampled", \.sampled, .integer(in: 1...1_000_000),
      "number of windows that the original model writes, instead of a text"
    ).byDefault("none").when { $0.sampled != nil }
    Option("seed", \.seed, .seed, "seed of the generated windows")
      .when { $0.sampled != nil }
    Option("against", \.against, .verifyReference, "reference of the comparison, see below")
      .byDefault("`unmerged` after a merge, otherwise `input`").inRecipesOnly()
    Option("window", \.window, .integer(in: 2...CalibrateOptions.lengthLimit), "tokens per window")
    Option(
      "max_tokens", \.maxTokens, .integer(in: 2...Int.max).described("integer, at least `window`"),
      "maximum number of tokens taken from the text"
    ) { .integer(in: $0.window...Int.max) }.byDefault("all")
    generationDeclarations
    limitDeclarations
  }

  @PassOptionTable<Self> private static var generationDeclarations: [PassOption<Self>] {
    Option(
      "continuations", \.continuations, .integer(in: 0...1000),
      "number of windows whose beginnings both sides continue, 0 for none"
    ).when { $0.prompts.isEmpty }
    Option(
      "continuation_tokens", \.continuationTokens, .integer(in: 8...CalibrateOptions.lengthLimit),
      "maximum number of tokens of each continuation"
    ).when(\.comparesGeneration)
    Option("prompt", \.prompts, .prompts, "texts that both sides continue, instead of windows' beginnings")
      .byDefault("none").when { !$0.prompts.isEmpty }
  }

  @PassOptionTable<Self> private static var limitDeclarations: [PassOption<Self>] {
    Option(
      "max_kl", \.maxKL, .number(.atLeast(0)), "limit of the KL divergence at any single token, in nats"
    ).byDefault("\(defaultMaxKL.shortText) when no limit at all is given")
    Option(
      "max_mean_kl", \.maxMeanKL, .number(.atLeast(0)), "limit of the mean KL divergence, in nats"
    ).byDefault("\(defaultMaxMeanKL.shortText) when no limit at all is given")
    Option(
      "max_logit_difference", \.maxLogitDifference, .number(.atLeast(0)),
      "limit of the absolute difference of any logit"
    ).byDefault("\(defaultMaxLogitDifference.shortText) when no limit at all is given")
    Option(
      "min_top1_agreement", \.minTop1Agreement, .number(.within(0...1)),
      "minimum share of positions with the same most probable next token")
    Option(
      "max_perplexity_ratio", \.maxPerplexityRatio, .number(.above(0)),
      "limit of the ratio of the candidate's perplexity to the reference's")
    Option(
      "max_collapsed", \.maxCollapsed, .integer(in: 0...Int.max),
      "limit of the number of prompts where only the candidate's continuation collapses"
    ).byDefault("half of the prompts").when(\.comparesGeneration)
    Option(
      "min_equal_tokens", \.minEqualTokens, .number(.atLeast(0)),
      "minimum of the mean number of first tokens that both sides write alike"
    ).when(\.comparesGeneration)
  }

  /// Rejects options with no windows or two sources of windows, and an unmerged state that does not exist.
  public func validate(_ given: GivenOptions, after previous: [PassOptions]) throws {
    if sampled == nil {
      guard text != nil else { throw given.missing("text") }
      guard !given.has("seed") else { throw given.failure("'seed' is not used without 'sampled'") }
    } else if let key = ["text", "max_tokens"].first(where: given.has) {
      throw given.failure("'\(key)' is not used with 'sampled'")
    }
    try requireGeneration(given)
    guard against == .unmerged, !previous.haveUnmergedState else { return }
    throw given.failure(at: "against", "is 'unmerged', but no merge comes before")
  }

  /// Rejects options of the continuations if there are none, and two sources of prompts.
  private func requireGeneration(_ given: GivenOptions) throws {
    if !prompts.isEmpty, given.has("continuations") {
      throw given.failure("'continuations' is not used with 'prompt'")
    }
    let keys = ["continuation_tokens", "max_collapsed", "min_equal_tokens"]
    guard !comparesGeneration, let key = keys.first(where: given.has) else { return }
    throw given.failure("'\(key)' is not used when 'continuations' is 0")
  }

  /// Fills in the reference, and the default limits if none is given, so that the check can always fail.
  public func resolved(after previous: [PassOptions]) -> VerifyOptions {
    var options = withLimits
    options.against = against ?? (previous.haveUnmergedState ? .unmerged : .input)
    return options
  }

  /// The options, with the default limits if no limit is given.
  var withLimits: VerifyOptions {
    let limits = [maxKL, maxMeanKL, maxLogitDifference, minTop1Agreement, maxPerplexityRatio, minEqualTokens]
    guard limits.allSatisfy({ $0 == nil }) else { return self }
    var options = self
    (options.maxMeanKL, options.maxKL) = (Self.defaultMaxMeanKL, Self.defaultMaxKL)
    options.maxLogitDifference = Self.defaultMaxLogitDifference
    return options
  }
}

extension OptionKind<[String]> {
  /// Texts to continue.
  fileprivate static var prompts: Self {
    Self("text, or list of texts", flag: .list(repeated: true)) { reader in
      switch reader.node.value {
      case .list: try reader.list(of: "texts").map { try $0.text() }
      default: reader.node.isNull ? [] : [try reader.text()]
      }
    } write: {
      .array($0.map { .recipeText($0) })
    }
  }
}

extension OptionKind<VerifyReference> {
  /// `unmerged`, `input` or a path; a file named `input` is written `./input`.
  static var verifyReference: Self {
    var kind = Self("`unmerged`, `input` or a path") { reader in
      switch try reader.text("unmerged, input or a path") {
      case "unmerged": .unmerged
      case "input": .input
      default: .path(try reader.path())
      }
    } write: {
      .recipeText($0.word)
    }
    kind.paths = { reference in
      guard case .path(let path) = reference else { return [] }
      return [OptionPath(path: path, role: .read)]
    }
    kind.movePaths = { reference, move in
      guard case .path(let path) = reference else { return reference }
      return .path(move(path))
    }
    return kind
  }
}

extension VerifyReference {
  /// The reference as recipes write it.
  var word: String {
    switch self {
    case .unmerged: "unmerged"
    case .input: "input"
    case .path(let path): path.written
    }
  }
}
