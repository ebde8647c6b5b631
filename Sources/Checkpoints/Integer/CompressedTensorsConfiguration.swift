/// The `quantization_config` of compressed-tensors.
enum CompressedTensorsConfiguration {
  /// The layouts of the formats with integers.
  private static let layouts: [String: IntegerQuantization.Layout] = [
    "pack-quantized": .compressedTensors, "int-quantized": .bytes,
  ]

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
    let format = try place.string("format", of: block) ?? ""
    guard let layout = layouts[format] else {
      throw place.error(
        .unsupportedKind(
          "format '\(format)'",
          supported: layouts.keys.sorted().reversed() + ScaledFormat.compressedTensorsFormats),
        at: "format")
    }
    if let status = try place.string("quantization_status", of: block), status != "compressed" {
      throw place.error(
        .unsupportedKind("status '\(status)'", supported: ["compressed"]), at: "quantization_status")
    }
    try refuse(
      ["kv_cache_scheme", "sparsity_config", "transform_config", "moe_sparsity_config"], of: block, place)
    let groups = try TargetGroups(block, format: format, at: place)
    return IntegerQuantization(
      method: .compressedTensors, layout: layout, formatName: format, zeroPoints: .v2,
      place: place
    ) { module throws(FormatError) in groups.scheme(of: module) }
  }

  /// Refuses keys that have a value.
  fileprivate static func refuse(
    _ keys: [String], of block: JSONValue, _ place: ConfigurationPlace
  ) throws(FormatError) {
    for key in keys where block[key].map({ !$0.isNull && $0 != .object([]) }) == true {
      throw place.error(.unsupported("a checkpoint with it is not read"), at: key)
    }
  }
}

/// How each module is quantized, according to `config_groups` and `ignore`.
private struct TargetGroups {
  /// A module name, an expression, or every linear.
  private enum Target {
    case name(String)
    case expression(NamePattern)
    case linear

    func matches(_ module: String) -> Bool {
      switch self {
      case .name(let name): name == module
      case .expression(let pattern): pattern.matchesStart(of: module)
      case .linear: true
      }
    }

    /// Names take precedence over expressions, and expressions over classes.
    var rank: Int {
      switch self {
      case .name: 0
      case .expression: 1
      case .linear: 2
      }
    }
  }

  private var targets: [(target: Target, scheme: IntegerQuantization.Scheme)] = []
  private var ignored: [Target] = []

  init(_ block: JSONValue, format: String, at place: ConfigurationPlace) throws(FormatError) {
    guard let groups = block["config_groups"]?.object, !groups.isEmpty else {
      throw place.error(.missing("object 'config_groups'"))
    }
    for group in groups {
      let inner = ConfigurationPlace(path: place.path, key: "\(place.key): 'config_groups': '\(group.key)'")
      let scheme = try Self.scheme(of: group.value, format: format, at: inner)
      for text in try inner.strings("targets", of: group.value) {
        targets.append((try Self.target(text, inner, "targets"), scheme))
      }
    }
    targets = targets.enumerated().sorted {
      ($0.element.target.rank, $0.offset) < ($1.element.target.rank, $1.offset)
    }.map(\.element)
    for text in try place.strings("ignore", of: block) {
      ignored.append(try Self.target(text, place, "ignore"))
    }
  }

  private static func target(
    _ text: String, _ place: ConfigurationPlace, _ key: String
  ) throws(FormatError) -> Target {
    guard text.hasPrefix("re:") else {
      // Names of classes begin with a capital; only the model's own code tells which modules have a class.
      if text == "Linear", key == "targets" { return .linear }
      guard text.first?.isUppercase != true else {
        throw place.error(.unsupportedKind("class '\(text)'", supported: ["Linear"]), at: key)
      }
      return .name(text)
    }
    guard let pattern = NamePattern(String(text.dropFirst(3))) else {
      throw place.error(.unsupportedKind("expression '\(text)'"), at: key)
    }
    return .expression(pattern)
  }

  private static func scheme(
    of group: JSONValue, format: String, at place: ConfigurationPlace
  ) throws(FormatError) -> IntegerQuantization.Scheme {
    // Codes in bytes are for products of integers, so that their inputs are rounded, too; weights do not depend on it.
    let refused = ["output_activations"] + (format == "int-quantized" ? [] : ["input_activations"])
    try CompressedTensorsConfiguration.refuse(refused, of: group, place)
    if let other = try place.string("format", of: group), other != format {
      throw place.error(.unsupportedKind("format '\(other)'", supported: [format]), at: "format")
    }
    guard let weights = group["weights"], weights.object != nil else {
      throw place.error(.missing("object 'weights'"))
    }
    let inner = ConfigurationPlace(path: place.path, key: "\(place.key): 'weights'")
    if let type = try inner.string("type", of: weights), type != "int" {
      throw inner.error(.unsupportedKind("type '\(type)'", supported: ["int"]), at: "type")
    }
    if let dynamic = weights["dynamic"], dynamic != .bool(false), !dynamic.isNull {
      throw inner.error(.unsupported("codes that are computed at run time are not supported"), at: "dynamic")
    }
    guard let bits = try inner.integer("num_bits", of: weights) else {
      throw inner.error(.missing("integer 'num_bits'"))
    }
    try inner.check(bits: bits)
    return .init(
      bits: bits, groupSize: try groupSize(of: weights, format: format, at: inner),
      isSymmetric: try inner.bool("symmetric", of: weights) ?? true)
  }

  private static func groupSize(
    of weights: JSONValue, format: String, at place: ConfigurationPlace
  ) throws(FormatError) -> Int? {
    let number = try place.integer("group_size", of: weights)
    switch try place.string("strategy", of: weights) {
    case "channel": return nil
    case "tensor" where format == "int-quantized": return nil
    case "group", nil:
      guard let number else { throw place.error(.missing("integer 'group_size'")) }
      return try place.groupSize(number)
    case let strategy?: throw place.error(.unsupportedKind("strategy '\(strategy)'"), at: "strategy")
    }
  }

  func scheme(of module: String) -> IntegerQuantization.Scheme? {
    guard !ignored.contains(where: { $0.matches(module) }) else { return nil }
    return targets.first { $0.target.matches(module) }?.scheme
  }
}
