/// The `quantization_config` of GPTQ, or the file `quantize_config.json`.
enum GPTQConfiguration {
  /// The file in which older tools keep the configuration.
  static let fileName = "quantize_config.json"

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
    for key in ["adapter", "rotation"] where block[key].map({ !$0.isNull && $0 != .object([]) }) == true {
      throw place.error(.unsupported("a checkpoint with it is not read"), at: key)
    }
    if let packing = try place.string("pack_dtype", of: block), packing != "int32" {
      throw place.error(
        .unsupportedKind("packing in words of \(packing)", supported: ["int32"]), at: "pack_dtype")
    }
    let format = try formatName(block, at: place)
    let dynamic = try DynamicOverrides(block["dynamic"], at: place)
    guard let common = try place.scheme(of: block) else {
      throw place.error(.malformed("codes of 16 bits or more are not quantized"), at: "bits")
    }
    return IntegerQuantization(
      method: .gptq, layout: .gptq, formatName: format, zeroPoints: format == "gptq" ? .v1 : .v2, place: place
    ) { module throws(FormatError) in
      guard let override = dynamic.first(for: module) else { return common }
      guard let block = override.block else { return nil }
      let scheme = try place.scheme(of: block, defaults: common)
      // The planes of this format are consecutive bits only if the code width divides the word width.
      if format == "gptq_p", scheme?.bits == 3 {
        throw place.error(.unsupported("3-bit codes in planes are not supported"))
      }
      return scheme
    }
  }

  private static func formatName(
    _ block: JSONValue, at place: ConfigurationPlace
  ) throws(FormatError) -> String {
    let names = [
      try place.string("checkpoint_format", of: block), try place.string("format", of: block),
    ].compactMap(\.self)
    if names.count == 2, names[0] != names[1] {
      throw place.error(
        .malformed("is '\(names[0])', and 'format' is '\(names[1])'"), at: "checkpoint_format")
    }
    let name = names.first ?? "gptq"
    guard ["gptq", "gptq_v2", "gptq_p"].contains(name) else {
      throw place.error(.unsupportedKind("format '\(name)'"), at: "checkpoint_format")
    }
    if name == "gptq_p", try place.integer("bits", of: block) == 3 {
      throw place.error(.unsupported("3-bit codes in planes are not supported"), at: "checkpoint_format")
    }
    return name
  }
}

/// GPTQModel's `dynamic`: expressions over module names; the first one that matches a start of the name
/// decides.
private struct DynamicOverrides {
  /// The override of an expression; no block means that the module is not quantized.
  struct Override {
    let pattern: NamePattern
    let block: JSONValue?
  }

  private var overrides: [Override] = []

  init(_ value: JSONValue?, at place: ConfigurationPlace) throws(FormatError) {
    guard let value, !value.isNull else { return }
    guard let members = value.object else { throw place.error(.malformed("is not an object"), at: "dynamic") }
    for member in members {
      let isNegative = member.key.hasPrefix("-:")
      let text = isNegative || member.key.hasPrefix("+:") ? String(member.key.dropFirst(2)) : member.key
      guard let pattern = NamePattern(text) else {
        throw place.error(.unsupportedKind("expression '\(member.key)'"), at: "dynamic")
      }
      guard member.value.object != nil else {
        throw place.error(.malformed("'\(member.key)' is not an object"), at: "dynamic")
      }
      overrides.append(Override(pattern: pattern, block: isNegative ? nil : member.value))
    }
  }

  func first(for module: String) -> Override? { overrides.first { $0.pattern.matchesStart(of: module) } }
}
