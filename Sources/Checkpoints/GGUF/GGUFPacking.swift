/// How the codes of a GGUF tensor become a packed module.
struct GGUFPacking: Equatable {
  let parameters: QuantizationParameters
  /// The dtype of scales and biases.
  let tables: DType

  /// The key of the metadata that says it of modules.
  static let key = "rilq.quantization"
}

extension GGUFPacking {
  /// Reads what a file says of its modules.
  ///
  /// - Parameter keys: The metadata.
  /// - Returns: The packings by module; empty when the file says nothing.
  /// - Throws: `FormatError` when the text is not such an object.
  static func read(_ keys: GGUFKeys) throws(FormatError) -> [String: GGUFPacking] {
    guard let text = try keys.string(key) else { return [:] }
    let json = try keys.json(key, text)
    guard json.object?.map(\.key) == ["modules"], let modules = json["modules"]?.object else {
      throw keys.error(key, .malformed("is not an object with just 'modules'"))
    }
    var packings: [String: GGUFPacking] = [:]
    for module in modules { packings[module.key] = try read(module, keys) }
    return packings
  }

  private static func read(_ module: JSONValue.Member, _ keys: GGUFKeys) throws(FormatError) -> GGUFPacking {
    func refused(_ reason: String) -> FormatError {
      keys.error(key, .malformed("module '\(module.key)': \(reason)"))
    }
    let known: Set = ["bits", "group_size", "tables"]
    guard let members = module.value.object else { throw refused("is no object") }
    if let other = members.first(where: { !known.contains($0.key) }) { throw refused("key '\(other.key)'") }
    guard let bits = module.value["bits"]?.integer, (2...4).contains(bits) else {
      throw refused("'bits' is not 2, 3 or 4")
    }
    guard let groupSize = module.value["group_size"]?.integer, (1...1 << 24).contains(groupSize) else {
      throw refused("'group_size' is not from 1 to 2^24")
    }
    let name = module.value["tables"] ?? .string(DType.f16.rawValue)
    guard let tables = name.string.flatMap(DType.init), tables.isWeight else {
      throw refused("'tables' is not F16, BF16 or F32")
    }
    return GGUFPacking(parameters: .init(bits: bits, groupSize: groupSize), tables: tables)
  }

  /// The packing of a two-bit type that the file says nothing about: a group is a block.
  static func natural(_ type: GGUFTensorType) -> GGUFPacking {
    GGUFPacking(parameters: .init(bits: 2, groupSize: type.blockElementCount), tables: .f32)
  }
}

extension GGUFKeys {
  /// Reads the JSON text of a key.
  func json(_ key: String, _ text: String) throws(FormatError) -> JSONValue {
    do throws(JSONError) {
      return try JSONValue(parsing: Array(text.utf8))
    } catch let failure {
      throw error(key, .malformed("is not JSON: \(failure.description)"))
    }
  }
}
