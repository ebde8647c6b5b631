/// The `quantization_config` of AutoRound.
enum AutoRoundConfiguration {
  /// The file in which AutoRound repeats the configuration.
  static let fileName = "quantization_config.json"

  /// The packing with AWQ's tensors.
  private static let awqPacking = "auto_round:auto_awq"
  /// The packings with GPTQ's tensors, and how each stores zero points.
  private static let packings: [String: StoredZeroPoints] = [
    "auto_round": .v2, "auto_round:gptqmodel": .v2, "auto_round:exllamav2": .v2, "auto_round:tritonv2": .v2,
    "auto_round:auto_gptq": .v1, "auto_round:gptq": .v1,
  ]
  /// The packings with MLX's own tensors.
  private static let mlxPackings: Set<String> = ["auto_round:mlx", "mlx"]

  /// Whether a configuration is AutoRound's and the tensors are MLX's already.
  static func isMLX(_ block: JSONValue) -> Bool {
    block["quant_method"]?.string == IntegerQuantization.Method.autoRound.rawValue
      && block["packing_format"]?.string.map(mlxPackings.contains) == true
  }

  /// The quantized modules among tensors that are MLX's already: those with scales.
  ///
  /// - Throws: `FormatError` when the configuration says that such a module is not quantized.
  static func mlxModules(
    _ block: JSONValue, among tensors: [TensorInfo], at place: ConfigurationPlace
  ) throws(FormatError) -> [String: QuantizedLayout] {
    try checkKind(of: block, at: place)
    let scheme = try modules(of: block, at: place)
    var modules: [String: QuantizedLayout] = [:]
    for tensor in tensors {
      guard let module = ModuleTensor.scales.module(of: tensor.name) else { continue }
      guard let found = try scheme(module), let groupSize = found.groupSize else {
        throw place.error(.malformed("leaves out module '\(module)', which has scales"))
      }
      modules[module] = QuantizedLayout(bits: found.bits, groupSize: groupSize)
    }
    return modules
  }

  /// Reads a configuration.
  ///
  /// - Parameters:
  ///   - block: The object.
  ///   - place: Where it is.
  /// - Returns: The description of the weights.
  /// - Throws: `FormatError` with the key.
  static func read(_ block: JSONValue, at place: ConfigurationPlace) throws(FormatError)
    -> IntegerQuantization
  {
    guard let name = try place.string("packing_format", of: block) else {
      throw place.error(.missing("'packing_format'"))
    }
    let isAWQ = name == awqPacking
    guard let packing = isAWQ ? .v2 : packings[name] else {
      throw place.error(.unsupportedKind("packing '\(name)'"), at: "packing_format")
    }
    try checkKind(of: block, at: place)
    return IntegerQuantization(
      method: .autoRound, layout: isAWQ ? .awq : .gptq, formatName: name, zeroPoints: packing, place: place,
      scheme: try modules(of: block, at: place))
  }

  /// How each module is quantized, according to the defaults and to `extra_config`.
  static func modules(
    of block: JSONValue, at place: ConfigurationPlace
  ) throws(FormatError) -> (String) throws(FormatError) -> IntegerQuantization.Scheme? {
    guard let common = try place.scheme(of: block) else {
      throw place.error(.malformed("codes of 16 bits or more are not quantized"), at: "bits")
    }
    let extra = try ExtraConfiguration(block, at: place)
    return { module throws(FormatError) in
      guard let override = extra.block(for: module) else { return common }
      try checkKind(of: override, at: place)
      return try place.scheme(of: override, defaults: common)
    }
  }

  /// Refuses everything but integer codes of weights.
  private static func checkKind(of block: JSONValue, at place: ConfigurationPlace) throws(FormatError) {
    if let type = try place.string("data_type", of: block), type != "int", (block["bits"]?.integer ?? 0) < 16
    {
      throw place.error(.unsupportedKind("type '\(type)'"), at: "data_type")
    }
    if let bits = try place.integer("act_bits", of: block), bits < 16 {
      throw place.error(.unsupported("activations of \(bits) bits are not supported"), at: "act_bits")
    }
    for key in ["super_bits", "super_group_size", "rotation_config", "hadamard_config"]
    where block[key].map({ !$0.isNull && $0 != .object([]) }) == true {
      throw place.error(.unsupported("a checkpoint with it is not read"), at: key)
    }
  }
}

/// AutoRound's `extra_config`, with a name or an expression per module, and `modules_to_not_convert`.
private struct ExtraConfiguration {
  private var named: [String: JSONValue] = [:]
  private var patterns: [(pattern: NamePattern, block: JSONValue)] = []
  private static let unquantized = JSONValue.object([JSONValue.Member("bits", .integer(16))])

  init(_ block: JSONValue, at place: ConfigurationPlace) throws(FormatError) {
    if let value = block["extra_config"], !value.isNull {
      guard let members = value.object else {
        throw place.error(.malformed("is not an object"), at: "extra_config")
      }
      for member in members where member.value != .object([]) {
        guard member.value.object != nil else {
          throw place.error(.malformed("'\(member.key)' is not an object"), at: "extra_config")
        }
        named[member.key] = member.value
        patterns.append((try Self.pattern(member.key, "extra_config", place), member.value))
      }
    }
    for text in try place.strings("modules_to_not_convert", of: block) {
      patterns.insert((try Self.pattern(text, "modules_to_not_convert", place), Self.unquantized), at: 0)
    }
  }

  private static func pattern(
    _ text: String, _ key: String, _ place: ConfigurationPlace
  ) throws(FormatError) -> NamePattern {
    guard let pattern = NamePattern(text) else {
      throw place.error(.unsupportedKind("expression '\(text)'"), at: key)
    }
    return pattern
  }

  func block(for module: String) -> JSONValue? {
    named[module] ?? patterns.first { named[module] == nil && $0.pattern.isFound(in: module) }?.block
  }
}
