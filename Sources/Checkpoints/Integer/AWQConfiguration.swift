/// The `quantization_config` of AWQ, or the file `quant_config.json`.
enum AWQConfiguration {
  /// The file in which older versions of AutoAWQ keep the configuration.
  static let fileName = "quant_config.json"
  /// The width of its codes.
  private static let bits = 4

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
    let key = block["version"] == nil ? "format" : "version"
    let format = try place.string(key, of: block)?.lowercased() ?? "gemm"
    guard format == "gemm" else {
      throw place.error(.unsupportedKind("packing '\(format)'", supported: ["gemm"]), at: key)
    }
    guard try place.bool("zero_point", of: block) ?? true else {
      throw place.error(.unsupported("codes without zero points are not read"), at: "zero_point")
    }
    // AutoAWQ's own file has other names.
    func integer(_ names: String...) throws(FormatError) -> Int? {
      for name in names { if let number = try place.integer(name, of: block) { return number } }
      return nil
    }
    let bits = try integer("bits", "w_bit") ?? Self.bits
    guard bits == Self.bits else { throw place.error(.unsupported("\(bits)-bit codes are not supported")) }
    guard let number = try integer("group_size", "q_group_size") else {
      throw place.error(.missing("integer 'group_size'"))
    }
    let scheme = IntegerQuantization.Scheme(
      bits: bits, groupSize: try place.groupSize(number), isSymmetric: false)
    // `modules_to_not_convert` repeats which modules have no codes.
    return IntegerQuantization(
      method: .awq, layout: .awq, formatName: format, zeroPoints: .v2, place: place
    ) { _ throws(FormatError) in scheme }
  }
}
