import Checkpoints

extension VerifyOptions {
  static let keys = [
    "text", "sampled", "seed", "against", "window", "max_tokens", "max_kl", "max_mean_kl",
    "max_logit_difference",
    "min_top1_agreement", "max_perplexity_ratio",
  ]

  /// Reads the options of a recipe's `verify`.
  init(reading reader: RecipeReader, isAfterMerge: Bool) throws {
    let map = try reader.map(keys: Self.keys)
    let window = try map.value("window", default: 512) {
      try $0.integer(in: 2...CalibrateOptions.lengthLimit)
    }
    self.init(
      text: try map.optional("text") { try $0.path() },
      sampled: try map.optional("sampled") { try $0.integer(in: 1...1_000_000) },
      seed: try map.value("seed", default: 1) { try $0.seed() },
      against: try map.optional("against") { try $0.verifyReference(isAfterMerge: isAfterMerge) },
      window: window,
      maxTokens: try map.optional("max_tokens") { try $0.integer(in: window...Int.max) },
      maxKL: try map.optional("max_kl") { try $0.number(.atLeast(0)) },
      maxMeanKL: try map.optional("max_mean_kl") { try $0.number(.atLeast(0)) },
      maxLogitDifference: try map.optional("max_logit_difference") { try $0.number(.atLeast(0)) },
      minTop1Agreement: try map.optional("min_top1_agreement") { try $0.number(.within(0...1)) },
      maxPerplexityRatio: try map.optional("max_perplexity_ratio") { try $0.number(.above(0)) })
    try requireWindows(reader, map)
  }

  /// Refuses windows from nowhere and from two places.
  private func requireWindows(_ reader: RecipeReader, _ map: RecipeMap) throws {
    guard sampled != nil else {
      _ = try map.required("text")
      guard !map.has("seed") else { throw reader.failure("'seed' is not used without 'sampled'") }
      return
    }
    guard text == nil, maxTokens == nil else {
      throw reader.failure("'\(text == nil ? "max_tokens" : "text")' is not used with 'sampled'")
    }
  }

  /// Every option by its key.
  var members: [JSONValue.Member] {
    (text.map { [.init("text", .recipeText($0.written))] } ?? []) + sampledMembers + [
      .init("against", .optional(against) { .recipeText($0.word) }),
      .init("window", .integer(window)),
      .init("max_tokens", .optional(maxTokens, JSONValue.integer)),
      .init("max_kl", .optional(maxKL, JSONValue.double)),
      .init("max_mean_kl", .optional(maxMeanKL, JSONValue.double)),
      .init("max_logit_difference", .optional(maxLogitDifference, JSONValue.double)),
      .init("min_top1_agreement", .optional(minTop1Agreement, JSONValue.double)),
      .init("max_perplexity_ratio", .optional(maxPerplexityRatio, JSONValue.double)),
    ]
  }
}

extension VerifyOptions {
  private var sampledMembers: [JSONValue.Member] {
    sampled.map { [.init("sampled", .integer($0)), .init("seed", .seed(seed))] } ?? []
  }
}

extension VerifyReference {
  fileprivate var word: String {
    switch self {
    case .unmerged: "unmerged"
    case .input: "input"
    case .path(let path): path.written
    }
  }
}

extension RecipeReader {
  /// `unmerged`, `input` or a path; a file of such a name is written `./input`.
  fileprivate func verifyReference(isAfterMerge: Bool) throws -> VerifyReference {
    switch try text("unmerged, input or a path") {
    case "unmerged":
      guard isAfterMerge else { throw failure("is 'unmerged', but no merge comes before") }
      return .unmerged
    case "input": return .input
    default: return .path(try path())
    }
  }
}
