extension RotaryParameters {
  /// Reads `rope_scaling` and `rope_theta`, or `rope_parameters` of transformers 5.
  ///
  /// If both objects are there, `rope_scaling` counts, as in transformers.
  ///
  /// - Parameters:
  ///   - keys: The keys of `config.json`.
  ///   - contextLength: The original context of a scaling that does not state one.
  /// - Throws: `FormatError` with the key.
  init(_ keys: ConfigurationKeys, contextLength: Int) throws(FormatError) {
    let (name, object) = try Self.object(keys)
    let inner = ConfigurationKeys(json: object ?? .object([]), path: keys.path, prefix: name + ".")
    let outer = try keys.optionalNumber("rope_theta")
    let base = try inner.optionalNumber("rope_theta") ?? outer ?? 10_000
    guard base > 1 else { throw keys.malformed("rope_theta", "must be more than 1") }
    theta = base
    scaling = object == nil ? nil : try Self.scaling(inner, of: keys, contextLength: contextLength)
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

  /// Notices about objects that contradict each other.
  static func notices(_ keys: ConfigurationKeys) -> [String] {
    guard let scaling = keys.value("rope_scaling"), let parameters = keys.value("rope_parameters"),
      scaling.object?.isEmpty == false, scaling != parameters
    else { return [] }
    return ["config.json: 'rope_scaling' is used, and 'rope_parameters', which differs, is not"]
  }

  private static func scaling(
    _ inner: ConfigurationKeys, of keys: ConfigurationKeys, contextLength: Int
  ) throws(FormatError) -> Scaling? {
    for member in inner.json.object ?? [] where member.value.object != nil {
      throw inner.unsupported(member.key, "parameters for each kind of layer are not supported")
    }
    if let share = try inner.optionalNumber("partial_rotary_factor"), share != 1 {
      throw inner.unsupported("partial_rotary_factor", "the value \(share) is not supported")
    }
    let older = try inner.optionalText("type")
    switch try inner.optionalText("rope_type") ?? older ?? "default" {
    case "default": return nil
    case "linear": return .linear(factor: try inner.factor("factor"))
    case "llama3":
      let low = try inner.factor("low_freq_factor")
      let high = try inner.factor("high_freq_factor")
      guard low < high else {
        throw inner.malformed("high_freq_factor", "must be more than low_freq_factor, \(low)")
      }
      let original = "original_max_position_embeddings"
      let stated = try inner.optionalSize(original)
      return .llama3(
        Llama3Scaling(
          factor: try inner.factor("factor"), lowFrequencyFactor: low, highFrequencyFactor: high,
          originalContext: try keys.optionalSize(original) ?? stated ?? contextLength))
    case let kind: throw inner.unsupported("rope_type", "rope type '\(kind)' is not supported")
    }
  }
}
