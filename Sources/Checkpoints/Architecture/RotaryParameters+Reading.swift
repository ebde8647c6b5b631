extension RotaryParameters {
  /// Reads `rope_scaling` and `rope_theta`, or `rope_parameters` of transformers 5.
  ///
  /// If both objects are there, `rope_scaling` counts, as in transformers.
  ///
  /// - Parameters:
  ///   - keys: The keys of `config.json`.
  ///   - contextLength: `max_position_embeddings`.
  ///   - turnedCount: The columns of a head that turn; lists of divisors must have half as many numbers.
  ///   - defaultTheta: The base of the wavelengths if no key states one.
  ///   - layerType: The key of the object among parameters for each kind of layer, as `full_attention`; nil
  ///     refuses such parameters. Parameters for all layers count for each kind.
  ///   - understood: The keys of the object that the family reads itself.
  ///   - yarnIsLongRope: Whether the type `yarn` is an old name of `longrope`, as in Phi 3.
  /// - Throws: `FormatError` with the key.
  package init(
    _ keys: ConfigurationKeys, contextLength: Int, turnedCount: Int, defaultTheta: Double = 10_000,
    layerType: String? = nil, understood: Set<String> = [], yarnIsLongRope: Bool = false
  ) throws(FormatError) {
    let object = try RotaryObject(
      keys, layerType: layerType, contextLength: contextLength, turnedCount: turnedCount,
      understood: understood, yarnIsLongRope: yarnIsLongRope)
    let outer = try keys.optionalNumber("rope_theta")
    let base = try object.keys.optionalNumber("rope_theta") ?? outer ?? defaultTheta
    guard base > 1, Float(base).isFinite else { throw keys.malformed("rope_theta", "must be more than 1") }
    theta = base
    scaling = try object.scaling()
    try object.refuseOtherKeys(isProportional: { if case .proportional = scaling { true } else { false } }())
  }

  /// Notices about objects that contradict each other.
  static func notices(_ keys: ConfigurationKeys) -> [String] {
    guard let scaling = keys.value("rope_scaling"), let parameters = keys.value("rope_parameters"),
      scaling.object?.isEmpty == false, scaling != parameters
    else { return [] }
    return ["config.json: 'rope_scaling' is used, and 'rope_parameters', which differs, is not"]
  }
}

/// The object with the parameters of one kind of layer.
private struct RotaryObject {
  /// The keys of the object; none if there is no object.
  let keys: ConfigurationKeys
  /// The keys of `config.json`.
  let outer: ConfigurationKeys
  /// `max_position_embeddings`.
  let contextLength: Int
  /// The columns of a head that turn.
  let turnedCount: Int
  /// The keys that are read elsewhere.
  let understood: Set<String>
  /// Whether the type `yarn` is an old name of `longrope`.
  let yarnIsLongRope: Bool
  /// Whether the object is one of several for kinds of layers.
  let isNested: Bool

  /// Finds the object that counts.
  init(
    _ outer: ConfigurationKeys, layerType: String?, contextLength: Int, turnedCount: Int,
    understood: Set<String>, yarnIsLongRope: Bool
  ) throws(FormatError) {
    self.outer = outer
    self.contextLength = contextLength
    self.turnedCount = turnedCount
    self.understood = understood
    self.yarnIsLongRope = yarnIsLongRope
    let (name, object) = try Self.object(outer)
    let whole = ConfigurationKeys(json: object ?? .object([]), path: outer.path, prefix: name + ".")
    let kinds = (whole.json.object ?? []).filter { $0.value.object != nil }.map(\.key)
    isNested = !kinds.isEmpty
    guard let first = kinds.first else {
      keys = whole
      return
    }
    guard let layerType else {
      throw whole.unsupported(first, "parameters for each kind of layer are not supported")
    }
    guard let json = try whole.optionalObject(layerType) else {
      throw FormatError(outer.path, .missing("key '\(whole.prefix)\(layerType)'"))
    }
    for member in whole.json.object ?? [] where member.value.object == nil && !member.value.isNull {
      throw whole.unsupported(member.key, "is not understood beside parameters for each kind of layer")
    }
    keys = ConfigurationKeys(json: json, path: outer.path, prefix: whole.prefix + layerType + ".")
  }

  /// The object that counts, and its key.
  private static func object(
    _ keys: ConfigurationKeys
  ) throws(FormatError) -> (name: String, object: JSONValue?) {
    let scaling = try keys.optionalObject("rope_scaling")
    let parameters = try keys.optionalObject("rope_parameters")
    if let scaling, parameters == nil || scaling.object?.isEmpty == false { return ("rope_scaling", scaling) }
    return ("rope_parameters", parameters)
  }

  func scaling() throws(FormatError) -> RotaryParameters.Scaling? {
    let type = try type()
    switch type {
    case "default", "mrope": return nil
    case "linear": return .linear(factor: try factor())
    case "dynamic": return .dynamic(DynamicScaling(factor: try factor(), context: contextLength))
    case "llama3": return .llama3(try llama3())
    case "yarn": return .yarn(try yarn())
    case "longrope": return .longrope(try longrope())
    case "proportional": return .proportional(try proportional())
    default: throw keys.unsupported("rope_type", "rope type '\(type)' is not supported")
    }
  }

  private func type() throws(FormatError) -> String {
    let older = try keys.optionalText("type")
    let type = try keys.optionalText("rope_type") ?? older ?? "default"
    return type == "su" || type == "yarn" && yarnIsLongRope ? "longrope" : type
  }

  private func llama3() throws(FormatError) -> Llama3Scaling {
    let low = try positive("low_freq_factor")
    let high = try positive("high_freq_factor")
    guard low < high else {
      throw keys.malformed("high_freq_factor", "must be more than low_freq_factor, \(low)")
    }
    return Llama3Scaling(
      factor: try factor(), lowFrequencyFactor: low, highFrequencyFactor: high,
      originalContext: try originalContext())
  }

  private func yarn() throws(FormatError) -> YarnScaling {
    // Null leaves the factor to the contexts; without the key transformers fails, too.
    guard keys.has("factor") else { throw keys.malformed("factor", "must be a positive number") }
    let context = try originalContext()
    // 0 is as good as no key: so transformers reads it.
    let weights = (try optionalWeight("mscale"), try optionalWeight("mscale_all_dim"))
    let fast = try optionalWeight("beta_fast") ?? 32
    let slow = try optionalWeight("beta_slow") ?? 1
    guard fast >= slow else { throw keys.malformed("beta_fast", "must be at least beta_slow, \(slow)") }
    var logarithmWeights: YarnScaling.LogarithmWeights?
    if case (let numerator?, let denominator?) = weights {
      logarithmWeights = .init(numerator: numerator, denominator: denominator)
    }
    return YarnScaling(
      factor: try grownFactor(context), originalContext: context, fastTurns: fast, slowTurns: slow,
      roundsBounds: try keys.optionalBool("truncate") ?? true,
      statedAmplitude: try optionalPositive("attention_factor"), logarithmWeights: logarithmWeights)
  }

  private func longrope() throws(FormatError) -> LongRopeScaling {
    let context = try originalContext()
    let short = try divisors("short_factor")
    let long = try divisors("long_factor")
    let stated = try optionalPositive("attention_factor")
    let factor = try grownFactor(context)
    guard stated != nil || factor <= 1 || context > 1 else {
      throw keys.malformed(Self.originalContextKey, "must be more than 1")
    }
    return LongRopeScaling(
      shortDivisors: short, longDivisors: long, originalContext: context,
      amplitude: stated ?? LongRopeScaling.amplitude(factor: factor, originalContext: context))
  }

  private func proportional() throws(FormatError) -> ProportionalScaling {
    let outerShare = try outer.optionalNumber(Self.shareKey)
    let share = try keys.optionalNumber(Self.shareKey) ?? outerShare ?? 1
    guard share >= 0, share <= 1 else { throw keys.malformed(Self.shareKey, "must be from 0 to 1") }
    return ProportionalScaling(share: share, factor: try optionalPositive("factor") ?? 1)
  }
}

extension RotaryObject {
  private static let originalContextKey = "original_max_position_embeddings"
  private static let shareKey = "partial_rotary_factor"

  /// Keys that transformers knows; each type reads some of them and ignores the others.
  private static let knownKeys: Set<String> = [
    "rope_theta", "rope_type", "type", "factor", originalContextKey, "attention_factor", "beta_fast",
    "beta_slow", "short_factor", "long_factor", "low_freq_factor", "high_freq_factor", "mscale",
    "mscale_all_dim", "truncate", "mrope_section", "mrope_interleaved",
    // Written by some converters; nothing reads it.
    "finetuned",
  ]

  /// Refuses keys that nobody reads.
  func refuseOtherKeys(isProportional: Bool) throws(FormatError) {
    for member in keys.json.object ?? [] {
      let (key, value) = (member.key, member.value)
      guard !value.isNull, !Self.knownKeys.contains(key), !understood.contains(key) else { continue }
      if key == Self.shareKey, isProportional || value.double == 1 { continue }
      throw keys.unsupported(key, "the value \(value.compactText) is not supported")
    }
    guard isNested, try keys.optionalBool("truncate") == false else { return }
    // transformers looks for this key beside the kinds of layers, where nobody writes it.
    throw keys.unsupported("truncate", "is not supported for one kind of layer")
  }

  private func originalContext() throws(FormatError) -> Int {
    let stated = try keys.optionalSize(Self.originalContextKey)
    // The key beside the object counts, except for kinds of layers, as in transformers.
    let outer = isNested ? nil : try outer.optionalSize(Self.originalContextKey)
    return outer ?? stated ?? contextLength
  }

  /// The stated factor, or the growth of the context.
  private func grownFactor(_ originalContext: Int) throws(FormatError) -> Double {
    try optionalPositive("factor") ?? Double(contextLength) / Double(originalContext)
  }

  private func factor() throws(FormatError) -> Double { try positive("factor") }

  private func positive(_ key: String) throws(FormatError) -> Double {
    guard let number = try optionalPositive(key) else {
      throw keys.malformed(key, "must be a positive number")
    }
    return number
  }

  /// A number that is positive also as f32.
  private func optionalPositive(_ key: String) throws(FormatError) -> Double? {
    guard let number = try keys.optionalNumber(key) else { return nil }
    guard isPositive(number) else { throw keys.malformed(key, "must be a positive number") }
    return number
  }

  private func optionalWeight(_ key: String) throws(FormatError) -> Double? {
    try keys.optionalNumber(key) == 0 ? nil : try optionalPositive(key)
  }

  private func divisors(_ key: String) throws(FormatError) -> [Double] {
    guard let items = keys.value(key)?.array else { throw keys.malformed(key, "must be a list of numbers") }
    var divisors: [Double] = []
    for item in items {
      guard let number = item.double, isPositive(number) else {
        throw keys.malformed(key, "must be a list of positive numbers")
      }
      divisors.append(number)
    }
    guard divisors.count == turnedCount / 2 else {
      throw keys.malformed(key, "has \(divisors.count) numbers, not \(turnedCount / 2)")
    }
    return divisors
  }

  private func isPositive(_ number: Double) -> Bool { Float(number) > 0 && Float(number).isFinite }
}
