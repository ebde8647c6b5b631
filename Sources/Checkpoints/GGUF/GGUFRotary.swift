/// The rotary position embedding of a GGUF file, as a part of `config.json`.
struct GGUFRotary {
  /// The key under which our own files state parameters that the others do not show.
  static let statementKey = "rilq.rope_scaling"
  /// The key of `config.json`, and of the statement, that says whether the bounds of yarn are rounded.
  static let truncateKey = "truncate"
  /// The base, and `rope_scaling` if wavelengths are scaled.
  private(set) var members: [JSONValue.Member] = []

  /// Reads the keys, and the divisors of the frequencies, which a file may have.
  ///
  /// - Parameters:
  ///   - keys: The metadata.
  ///   - family: The family of the file.
  ///   - sizes: The sizes of the heads.
  ///   - divisors: The values of the tensors of divisors, by their names.
  /// - Throws: `FormatError` when `config.json` cannot express the scaling.
  init(
    _ keys: GGUFKeys, _ family: ModelFamily, _ sizes: GGUFHeadSizes, divisors: [String: [Float]]
  ) throws(FormatError) {
    let reader = GGUFRotaryReader(keys: keys, family: family, sizes: sizes, divisors: divisors)
    let (theta, base) = try reader.base()
    members = [JSONValue.Member(family.gguf.baseKey, theta)] + (try reader.windowedBase(base))
    if let key = family.gguf.turnedShareKey {
      members.append(JSONValue.Member(key, sizes.turnedShare))
    }
    let found = [
      try reader.keyedScaling(), try reader.llama3Scaling(base: base), try reader.longRopeScaling(),
    ].compactMap(\.self)
    guard found.count <= 1 else {
      throw FormatError(
        keys.path, at: "tensor '\(divisors.keys.min(by: precedes) ?? "")'",
        .unsupported("scales the positions, which a key scales, too"))
    }
    members += found.first ?? []
  }

  /// The parameters of Llama 3.1's scaling that give these factors, or nil when there are none.
  ///
  /// The factor is that of the slowest frequency; every other one is then checked against the parameters.
  static func llama3Scaling(
    _ frequencies: [Float], like stated: Llama3Scaling = .published, base: Double, headSize: Int
  ) -> Llama3Scaling? {
    let tolerance = 1e-5
    guard frequencies.count == headSize / 2, let factor = frequencies.last.map(Double.init), factor >= 1
    else {
      return nil
    }
    let scaling = stated.with(factor: factor)
    let plain = RotaryParameters(theta: base).plainFrequencies(headSize: headSize)
    for (found, frequency) in zip(frequencies, plain) {
      let expected = scaling.divisor(ofFrequency: Double(frequency))
      guard abs(Double(found) - expected) <= tolerance * expected else { return nil }
    }
    return scaling
  }
}

/// Reads the parts of the rotary position embedding.
private struct GGUFRotaryReader {
  let keys: GGUFKeys
  let family: ModelFamily
  let sizes: GGUFHeadSizes
  let divisors: [String: [Float]]

  private func key(_ name: String) -> String { "\(family.ggufArchitecture).\(name)" }

  private func required(_ name: String) throws(FormatError) -> JSONValue {
    guard let number = try keys.number(key(name)) else {
      throw FormatError(keys.path, .missing("key '\(key(name))'"))
    }
    return number
  }

  /// The base as the file has it, and its value.
  func base() throws(FormatError) -> (text: JSONValue, value: Double) {
    let theta = try keys.number(key(GGUFKeyNames.base)) ?? .number("10000.0")
    guard let base = theta.double, base > 1 else {
      throw keys.error(key(GGUFKeyNames.base), .malformed("\(theta.compactText) is not more than 1"))
    }
    return (theta, base)
  }

  /// The base in layers with a window, if the family has another key for it.
  func windowedBase(_ base: Double) throws(FormatError) -> [JSONValue.Member] {
    guard let name = family.gguf.windowedBaseKey else { return [] }
    let stated = try keys.number(key(GGUFKeyNames.windowedBase))
    if name == family.gguf.baseKey {
      guard stated == nil || stated?.double == base else {
        throw keys.error(
          key(GGUFKeyNames.windowedBase), .unsupported("differs from '\(key(GGUFKeyNames.base))'"))
      }
      return []
    }
    return [JSONValue.Member(name, stated ?? .double(family.gguf.windowedBase ?? base))]
  }

  /// The scaling that keys state: linear or yarn.
  func keyedScaling() throws(FormatError) -> [JSONValue.Member]? {
    let (kindKey, factorKey) = (key("rope.scaling.type"), key("rope.scaling.factor"))
    let kind = try keys.string(kindKey)
    switch kind {
    case nil, "none", "linear": break
    case "longrope" where family.gguf.holdsLengthDivisors: return nil
    case "yarn": return try yarnScaling()
    default: throw keys.error(kindKey, .unsupportedKind("scaling '\(kind ?? "")'"))
    }
    let older = try keys.number(key("rope.scale_linear"))
    let stated = kind == "linear" ? try keys.number(factorKey) : kind == nil ? older : nil
    guard let factor = stated else {
      if kind == "linear" { throw FormatError(keys.path, .missing("key '\(factorKey)'")) }
      return nil
    }
    guard factor.double != 1 else { return nil }
    return Self.scaling("linear", [JSONValue.Member("factor", factor)])
  }

  private static func scaling(_ type: String, _ members: [JSONValue.Member]) -> [JSONValue.Member] {
    [JSONValue.Member("rope_scaling", .object([JSONValue.Member("rope_type", .string(type))] + members))]
  }

  private func yarnScaling() throws(FormatError) -> [JSONValue.Member] {
    var members = [
      JSONValue.Member("factor", try required("rope.scaling.factor")),
      JSONValue.Member(
        "original_max_position_embeddings",
        .integer(try keys.size(key("rope.scaling.original_context_length")))),
    ]
    let names = [
      ("beta_fast", "rope.scaling.yarn_beta_fast"), ("beta_slow", "rope.scaling.yarn_beta_slow"),
      ("attention_factor", "rope.scaling.yarn_attn_factor"),
    ]
    for (name, gguf) in names {
      if let number = try keys.number(key(gguf)) { members.append(JSONValue.Member(name, number)) }
    }
    if family.gguf.leavesYarnBounds {
      members.append(JSONValue.Member(GGUFRotary.truncateKey, .bool(try roundsYarnBounds())))
    }
    guard family.gguf.holdsQueryGrowth else { return Self.scaling("yarn", members) }
    if let weight = try keys.number(key(GGUFKeyNames.logarithmWeight)), weight.double != 0 {
      members += [JSONValue.Member("mscale", .number("1.0")), JSONValue.Member("mscale_all_dim", weight)]
    }
    if let beta = try keys.number(key(GGUFKeyNames.queryGrowth)) {
      members.append(JSONValue.Member("llama_4_scaling_beta", beta))
    }
    members += [
      JSONValue.Member("rope_theta", try base().text), JSONValue.Member("rope_type", .string("yarn")),
    ]
    return [JSONValue.Member("rope_parameters", .object(members))]
  }

  /// Whether our own writer states that the bounds of yarn are rounded.
  private func roundsYarnBounds() throws(FormatError) -> Bool {
    guard let text = try keys.string(GGUFRotary.statementKey) else { return false }
    let json = try keys.json(GGUFRotary.statementKey, text)
    guard let rounds = json[GGUFRotary.truncateKey]?.bool else {
      throw keys.error(GGUFRotary.statementKey, .malformed("lacks '\(GGUFRotary.truncateKey)'"))
    }
    return rounds
  }

  /// The scaling of Llama 3, if there are divisors.
  func llama3Scaling(base: Double) throws(FormatError) -> [JSONValue.Member]? {
    guard !family.gguf.holdsPairShare else { return nil }
    guard let divisors = divisors[GGUFTensorNames.divisors] else { return nil }
    let stated = try Llama3Scaling(keys)
    guard
      let scaling = GGUFRotary.llama3Scaling(divisors, like: stated, base: base, headSize: sizes.turnedCount)
    else {
      throw FormatError(
        keys.path, at: "tensor '\(GGUFTensorNames.divisors)'",
        .unsupported("has factors other than those of Llama 3"))
    }
    return [JSONValue.Member("rope_scaling", scaling.json)]
  }

  /// The scaling of Phi 3, if there are divisors of short and long sequences.
  func longRopeScaling() throws(FormatError) -> [JSONValue.Member]? {
    let names = [GGUFTensorNames.longDivisors, GGUFTensorNames.shortDivisors]
    guard let present = names.first(where: { divisors[$0] != nil }) else { return nil }
    guard family.gguf.holdsLengthDivisors else {
      throw FormatError(
        keys.path, at: "tensor '\(present)'",
        .unsupported("no such tensor is known in architecture '\(family.ggufArchitecture)'"))
    }
    guard let long = divisors[names[0]], let short = divisors[names[1]] else {
      throw FormatError(
        keys.path, .missing("tensor '\(names.first { divisors[$0] == nil } ?? "")'"))
    }
    func list(_ name: String, _ values: [Float]) -> JSONValue.Member {
      JSONValue.Member(name, .array(values.map { $0.isFinite ? .number($0.description) : .null }))
    }
    let context = try keys.size(key("rope.scaling.original_context_length"))
    var members = [
      list("long_factor", long), list("short_factor", short),
      JSONValue.Member("original_max_position_embeddings", .integer(context)),
    ]
    let growth = Double(try keys.size(key("context_length"))) / Double(context)
    let usual = LongRopeScaling.amplitude(factor: growth, originalContext: context)
    if let amplitude = try keys.number(key(GGUFKeyNames.amplitude)),
      amplitude.double.map({ Float($0) }) != Float(usual)
    {
      members.append(JSONValue.Member("attention_factor", amplitude))
    }
    return Self.scaling("longrope", members)
  }
}

extension Llama3Scaling {
  /// The parameters of all published models; the factor is in the file.
  static let published = Llama3Scaling(
    factor: 1, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 8192)
  private static let keys = (
    low: "low_freq_factor", high: "high_freq_factor", context: "original_max_position_embeddings"
  )

  /// The parameters except the factor, by their names in `config.json`.
  private var members: [JSONValue.Member] {
    [
      JSONValue.Member(Self.keys.low, .double(lowFrequencyFactor)),
      JSONValue.Member(Self.keys.high, .double(highFrequencyFactor)),
      JSONValue.Member(Self.keys.context, .integer(originalContext)),
    ]
  }

  /// The text of the key.
  var statement: JSONValue { .object(members) }

  /// The value of `rope_scaling` in `config.json`.
  fileprivate var json: JSONValue {
    .object(
      [JSONValue.Member("rope_type", .string("llama3")), JSONValue.Member("factor", .double(factor))]
        + members)
  }

  fileprivate func with(factor: Double) -> Llama3Scaling {
    Llama3Scaling(
      factor: factor, lowFrequencyFactor: lowFrequencyFactor, highFrequencyFactor: highFrequencyFactor,
      originalContext: originalContext)
  }

  /// Reads the parameters in a file's metadata; if there are none, takes those of the published models.
  ///
  /// - Throws: `FormatError` when the parameters are incomplete or make no sense.
  init(_ keys: GGUFKeys) throws(FormatError) {
    guard let text = try keys.string(GGUFRotary.statementKey) else {
      self = .published
      return
    }
    let json = try keys.json(GGUFRotary.statementKey, text)
    guard let low = json[Self.keys.low]?.double, let high = json[Self.keys.high]?.double,
      let context = json[Self.keys.context]?.integer, low > 0, high > low, high.isFinite, context > 0
    else {
      throw keys.error(GGUFRotary.statementKey, .malformed("lacks the three parameters of Llama 3's scaling"))
    }
    self.init(factor: 1, lowFrequencyFactor: low, highFrequencyFactor: high, originalContext: context)
  }
}
