/// How the codes of a GGUF tensor become a packed module.
struct GGUFPacking: Sendable, Equatable {
  let layout: QuantizedLayout
  /// The dtype of scales and biases; that of a super-block's factors is F16.
  let tables: DType
}

/// What our own writer states about tensors that it stored differently from the checkpoint.
///
/// ```
/// {"modules": {"model.layers.0.mlp.up_proj": {"bits": 2, "group_size": 64, "tables": "F16"}},
///  "dtypes": {"model.norm.weight": "BF16"}}
/// ```
struct GGUFStatement {
  /// The key of the metadata.
  static let key = "rilq.quantization"
  fileprivate static let tablesKey = "tables"

  /// Whether our own writer made the file; it states every tensor that is read back in another dtype.
  let isOurs: Bool
  /// The modules whose codes are packed.
  private(set) var packings: [String: GGUFPacking] = [:]
  /// The dtypes of float tensors that differ from those in the file.
  private(set) var dtypes: [String: DType] = [:]

  /// Reads the statement of a file; a missing one is not an error.
  ///
  /// - Throws: `FormatError` when the text is not such an object.
  init(_ keys: GGUFKeys) throws(FormatError) {
    isOurs = keys.metadata.keys.contains { $0.hasPrefix("rilq.") }
    guard let text = try keys.string(Self.key) else { return }
    let json = try keys.json(Self.key, text)
    guard let members = json.object else { throw Self.refused(keys, "is not an object") }
    for member in members {
      guard let entries = member.value.object else {
        throw Self.refused(keys, "'\(member.key)' is not an object")
      }
      switch member.key {
      case "modules": for entry in entries { packings[entry.key] = try Self.packing(entry, keys) }
      case "dtypes": for entry in entries { dtypes[entry.key] = try Self.dtype(entry.value, entry.key, keys) }
      default: throw Self.refused(keys, "key '\(member.key)'")
      }
    }
  }

  private static func refused(_ keys: GGUFKeys, _ reason: String) -> FormatError {
    keys.error(key, .malformed(reason))
  }

  private static func dtype(
    _ value: JSONValue, _ name: String, _ keys: GGUFKeys
  ) throws(FormatError) -> DType {
    guard let dtype = value.string.flatMap(DType.init), dtype.isWeight else {
      throw refused(keys, "'\(name)' is \(value.compactText), not F16, BF16 or F32")
    }
    return dtype
  }

  private static func packing(
    _ module: JSONValue.Member, _ keys: GGUFKeys
  ) throws(FormatError) -> GGUFPacking {
    let place = "module '\(module.key)': "
    guard let members = module.value.object else { throw refused(keys, place + "is not an object") }
    if let other = members.first(where: {
      $0.key != tablesKey && !QuantizedLayout.memberKeys.contains($0.key)
    }) {
      throw refused(keys, place + "key '\(other.key)'")
    }
    let layout: QuantizedLayout
    do throws(LayoutDefect) {
      layout = try QuantizedLayout(members: module.value)
    } catch {
      throw refused(keys, place + error.reason)
    }
    guard layout.zeroPointGrid == nil else {
      throw refused(keys, place + "the grid \(layout.gridName ?? ""), which no type of GGUF has")
    }
    let tables = try dtype(module.value[tablesKey] ?? .string(DType.f16.rawValue), place + tablesKey, keys)
    guard layout.superBlock == nil || tables == .f16 else {
      throw refused(keys, place + "blocks with factors in \(tables.rawValue)")
    }
    return GGUFPacking(layout: layout, tables: tables)
  }
}

extension GGUFPacking {
  /// The packing of a type with codes if the file does not state one; nil for another type.
  ///
  /// Super-blocks stay what they are. Other types have a group per block.
  /// Scales in blocks are half floats, and biases are multiples of them. F16 holds them except for weights
  /// far larger than in any model, which are refused when the tables are read. The tables of two-bit types
  /// are F32.
  static func natural(_ type: GGUFTensorType) -> GGUFPacking? {
    if let kind = type.superBlock { return GGUFPacking(layout: .superBlock(kind), tables: .f16) }
    return GGUFCodes(type).map { codes in
      let bits = codes.moduleBits.upperBound
      return GGUFPacking(
        layout: .affine(bits: bits, groupSize: type.blockElementCount), tables: bits == 2 ? .f32 : .f16)
    }
  }

  /// Whether a type can have the codes.
  func fits(_ type: GGUFTensorType) -> Bool {
    layout.superBlock == type.superBlock && (layout.superBlock != nil || GGUFCodes(type) != nil)
  }

  /// The packing as a member of the statement.
  func member(of module: String) -> JSONValue.Member {
    let tables = JSONValue.Member(GGUFStatement.tablesKey, .string(tables.rawValue))
    return JSONValue.Member(module, .object(layout.members + [tables]))
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
