/// `adapter_config.json` of PEFT, as far as it changes what the tensors mean.
struct PeftConfiguration {
  /// The rows of A.
  let rank: Int
  /// The columns a mean is taken over, when the adapter is pooled.
  let groupSize: Int?
  private let loraAlpha: Double
  private let alphaPattern: [(module: String, alpha: Double)]
  private let path: String

  /// The switches that give the tensors a meaning that is not handled, unless they are off.
  private static let unsupportedKeys = [
    "use_rslora", "use_dora", "fan_in_fan_out", "modules_to_save", "rank_pattern", "lora_bias",
    "layer_replication", "trainable_token_indices", "target_parameters", "alora_invocation_tokens",
    "arrow_config",
  ]

  /// The starting values that leave the base weights as they are; the others change them.
  private static let harmlessStarts = ["gaussian", "eva", "orthogonal"]

  /// Reads the file.
  ///
  /// - Throws: `FormatError` with the key.
  init(path: String) throws {
    let document = try JSONValue(contentsOf: path)
    guard document.object != nil else { throw FormatError(path, .malformed("is not an object")) }
    try Self.refuseUnsupported(document, path)
    guard let rank = document["r"]?.integer, rank > 0 else {
      throw FormatError(path, at: "key 'r'", .malformed("is not a positive integer"))
    }
    guard let alpha = document["lora_alpha"]?.double, alpha.isFinite else {
      throw FormatError(path, at: "key 'lora_alpha'", .malformed("is not a number"))
    }
    self.path = path
    self.rank = rank
    loraAlpha = alpha
    alphaPattern = try (document["alpha_pattern"]?.object ?? []).map { member in
      guard let alpha = member.value.double, alpha.isFinite else {
        throw FormatError(path, at: "key 'alpha_pattern': '\(member.key)'", .malformed("is not a number"))
      }
      return (member.key, alpha)
    }
    groupSize = try Self.groupSize(document, path)
  }

  private static func groupSize(_ document: JSONValue, _ path: String) throws(FormatError) -> Int? {
    guard isOn(document["use_qalora"]) else { return nil }
    guard let size = document["qalora_group_size"]?.integer, size > 0 else {
      throw FormatError(path, at: "key 'qalora_group_size'", .malformed("is not a positive integer"))
    }
    return size
  }

  private static func refuseUnsupported(_ document: JSONValue, _ path: String) throws(FormatError) {
    func refuse(_ key: String) -> FormatError {
      FormatError(path, at: "key '\(key)'", .unsupported((document[key] ?? .null).compactText))
    }
    guard document["peft_type"]?.string == "LORA" else { throw refuse("peft_type") }
    if let bias = document["bias"], bias.string != "none" { throw refuse("bias") }
    if let start = document["init_lora_weights"]?.string, !harmlessStarts.contains(start) {
      throw refuse("init_lora_weights")
    }
    let switches = (document.object ?? []).map(\.key).filter { $0.hasPrefix("use_") && $0 != "use_qalora" }
    for key in unsupportedKeys + switches where isOn(document[key]) { throw refuse(key) }
  }

  /// Whether a setting says anything at all.
  private static func isOn(_ value: JSONValue?) -> Bool {
    switch value {
    case nil, .null, .bool(false), .string(""), .array([]), .object([]): false
    default: true
    }
  }

  /// The one alpha of an adapter, in our meaning.
  ///
  /// - Parameter columnCounts: The columns of A by module; of a pooled adapter these are groups.
  /// - Returns: Alpha, so that the update is `alpha / rank * B * A`.
  /// - Throws: `FormatError` when modules differ, or a pattern matches none.
  func alpha(_ columnCounts: [String: Int]) throws(FormatError) -> Double {
    var alphaByModule: [String: Double] = [:]
    for (pattern, alpha) in alphaPattern {
      // PEFT lets a pattern match a whole name or its end after a dot, and takes the first that does.
      let matches = columnCounts.keys.filter { $0 == pattern || $0.hasSuffix("." + pattern) }
      guard !matches.isEmpty else {
        throw FormatError(path, at: "key 'alpha_pattern': '\(pattern)'", .malformed("matches no module"))
      }
      for module in matches where alphaByModule[module] == nil { alphaByModule[module] = alpha }
    }
    var common = loraAlpha
    for (i, module) in columnCounts.keys.sorted(by: precedes).enumerated() {
      let factor = groupSize == nil ? 1 : Double(columnCounts[module] ?? 1)
      let alpha = (alphaByModule[module] ?? loraAlpha) * factor
      // A quotient that was rounded once does not multiply back exactly.
      let isCommon = abs(alpha - common) <= 1e-12 * abs(common)
      guard isCommon || i == 0 else {
        throw FormatError(
          path, at: "module '\(module)'", .unsupported("alpha \(alpha) where other modules have \(common)"))
      }
      if !isCommon { common = alpha }
    }
    return common
  }
}
