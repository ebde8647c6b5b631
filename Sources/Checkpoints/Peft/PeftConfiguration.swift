/// `adapter_config.json` of PEFT, as far as it changes what the tensors mean.
struct PeftConfiguration: Sendable {
  /// The rows of A of modules that match no pattern.
  let rank: Int
  /// Alpha of modules that match no pattern.
  let alpha: Double
  let rankPattern: [PeftPattern<Int>]
  let alphaPattern: [PeftPattern<Double>]
  /// Whether B·A is multiplied by `alpha / √rank` instead of `alpha / rank`.
  let isRankStabilized: Bool
  /// Whether the rows of the adapted weights are scaled to stored lengths.
  let usesDora: Bool
  /// Whether the base stores its linears as `[in, out]`.
  let isFanInFanOut: Bool
  /// Whether B has a bias.
  let hasLoraBias: Bool
  /// Whether an embedding and the head that shares its weights have copies of one adapter.
  let ensuresWeightTying: Bool
  /// The number of columns per mean, if the adapter is pooled.
  let groupSize: Int?
  let targets: PeftTargets
  /// The endings of the names of modules that are stored whole.
  let modulesToSave: [String]
  let path: String

  /// The keys that are read, and keys whose values do not change what the tensors mean.
  private static let knownKeys: Set<String> = [
    "peft_type", "r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "use_dora",
    "fan_in_fan_out",
    "lora_bias", "use_qalora", "qalora_group_size", "target_modules", "exclude_modules", "modules_to_save",
    "layers_to_transform", "layers_pattern", "bias", "init_lora_weights", "ensure_weight_tying",
    "auto_mapping", "base_model_name_or_path", "inference_mode", "lora_dropout", "megatron_core",
    "peft_version",
    "revision", "task_type", "loftq_config", "eva_config", "corda_config", "lora_ga_config", "runtime_config",
  ]

  /// The maximum cost of all expressions per character of a name: far above any in use, a second for a large
  /// model.
  private static let stepLimit = 1 << 14

  /// The initializations that leave the base weights unchanged; the others change them.
  private static let harmlessStarts = ["gaussian", "eva", "orthogonal"]

  /// Reads the file.
  ///
  /// - Throws: `FormatError` with the key.
  init(path: String) throws {
    let document = try PeftDocument(path: path)
    try Self.refuseUnsupported(document)
    self.path = path
    rank = try document.positiveInteger("r")
    alpha = try document.number("lora_alpha")
    rankPattern = try document.patterns("rank_pattern", of: "a positive integer") {
      $0.integer.flatMap { $0 > 0 ? $0 : nil }
    }
    alphaPattern = try document.patterns("alpha_pattern", of: "a number") {
      $0.double.flatMap { $0.isFinite ? $0 : nil }
    }
    isRankStabilized = try document.flag("use_rslora")
    usesDora = try document.flag("use_dora")
    isFanInFanOut = try document.flag("fan_in_fan_out")
    hasLoraBias = try document.flag("lora_bias")
    ensuresWeightTying = try document.flag("ensure_weight_tying")
    groupSize = try document.flag("use_qalora") ? try document.positiveInteger("qalora_group_size") : nil
    targets = try PeftTargets(document)
    modulesToSave = try document.texts("modules_to_save")
    try refuseLongExpressions()
    try refuseCombinations(document)
  }

  private static func refuseUnsupported(_ document: PeftDocument) throws(FormatError) {
    guard document["peft_type"]?.string == "LORA" else { throw document.refusal("peft_type") }
    if let bias = document["bias"], !["none", "all", "lora_only"].contains(bias.string) {
      throw document.refusal("bias")
    }
    if let start = document["init_lora_weights"]?.string, !harmlessStarts.contains(start) {
      throw document.refusal(
        "init_lora_weights", because: "starts from changed base weights, which is not supported")
    }
    for key in document.keys where !knownKeys.contains(key) && document.isOn(key) {
      throw document.refusal(key)
    }
  }

  private func refuseLongExpressions() throws(FormatError) {
    let patterns = rankPattern.map(\.expression) + alphaPattern.map(\.expression)
    let count = patterns.reduce(targets.stepCount) { $0 + $1.stepCount }
    guard count <= Self.stepLimit else {
      throw FormatError(
        path,
        .unsupported("has expressions of \(count) steps together, at most \(Self.stepLimit) are supported"))
    }
  }

  /// Refuses combinations that PEFT refuses, too, because they have no meaning.
  private func refuseCombinations(_ document: PeftDocument) throws(FormatError) {
    if usesDora, hasLoraBias { throw document.refusal("lora_bias", because: "has no meaning with use_dora") }
    if groupSize != nil, usesDora {
      throw document.refusal("use_dora", because: "has no meaning with use_qalora")
    }
    if groupSize != nil, hasLoraBias {
      throw document.refusal("lora_bias", because: "is not supported with use_qalora")
    }
  }
}

extension PeftConfiguration {
  /// The rank and the alpha of each module, by its index.
  ///
  /// - Throws: `FormatError` when a pattern matches none of them.
  func values(for modules: [String]) throws(FormatError) -> [(rank: Int, alpha: Double)] {
    let ranks = try values(of: rankPattern, "rank_pattern", for: modules)
    let alphas = try values(of: alphaPattern, "alpha_pattern", for: modules)
    return modules.indices.map { (ranks[$0] ?? rank, alphas[$0] ?? alpha) }
  }

  /// The value of the first pattern that matches, for each module.
  private func values<Value>(
    of patterns: [PeftPattern<Value>], _ key: String, for modules: [String]
  ) throws(FormatError) -> [Value?] {
    var values = [Value?](repeating: nil, count: modules.count)
    for pattern in patterns {
      let matches = pattern.expression.nameEndMatcher()
      let indices = modules.indices.filter { matches(modules[$0]) }
      guard !indices.isEmpty else {
        throw FormatError(
          path, at: "key '\(key)': '\(pattern.expression.text)'",
          .malformed("matches no module of the adapter"))
      }
      for i in indices where values[i] == nil { values[i] = pattern.value }
    }
    return values
  }
}
