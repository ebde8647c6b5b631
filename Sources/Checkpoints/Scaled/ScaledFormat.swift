/// A configuration's description of matrices of small numbers: a code's number times the scale of its block.
///
/// `Formats/scaled-floats.md` has the layouts.
struct ScaledFormat {
  /// The tool that made the checkpoint, by the `quant_method` of its configuration.
  enum Method: String, CaseIterable {
    case fp8
    case mxfp4
    case modelopt
    case fbgemmFP8 = "fbgemm_fp8"
    case compressedTensors = "compressed-tensors"
    case bitsAndBytes = "bitsandbytes"
  }

  /// What codes are.
  enum Codes: Equatable {
    case e4M3
    /// Two in a byte, the first in its lower half.
    case e2M1
    /// Whole numbers in signed bytes, in units of 1/127.
    case int8
    /// Two places in a table of the module in a byte, the first in its upper half; the bytes are stored in a tensor
    /// of a dtype.
    case tabled(in: DType)
  }

  /// Whether a module's one number divides its scales or multiplies them.
  enum GlobalScale {
    case divides(String)
    case multiplies(String)

    /// The ending of the number's name.
    var ending: String {
      switch self {
      case .divides(let ending), .multiplies(let ending): ending
      }
    }
  }

  /// The columns that share a scale.
  private static let nvfp4Block = ScaleBlock(rowCount: 1, columnCount: 16)
  private static let mxfp4Block = ScaleBlock(rowCount: 1, columnCount: 32)
  /// The formats of compressed-tensors that are read.
  static let compressedTensorsFormats = [
    "float-quantized", "naive-quantized", "mxfp8-quantized", "mxfp4-pack-quantized", "nvfp4-pack-quantized",
  ]

  /// The dtypes of the tensors in which bitsandbytes stores bytes of codes; floats can be sharded like weights.
  private static let storages: [String: DType] = [
    "uint8": .u8, "int8": .i8, "float16": .f16, "bfloat16": .bf16, "float32": .f32,
  ]

  let method: Method
  /// What the configuration calls it: `e4m3`, `FP8`, `nvfp4-pack-quantized`.
  let name: String
  /// Whether a tensor has the matrices of all experts, as gpt-oss stores them.
  var isStacked: Bool { method == .mxfp4 }
  let codes: Codes
  /// The endings of a module's codes and of its scales.
  let endings: (codes: String, scales: String)
  /// The module's one number in NVFP4.
  let global: GlobalScale?
  /// The block that shares a scale, where the shape of the scales does not tell.
  let block: ScaleBlock?

  /// The dtype of the codes.
  var codeDType: DType {
    switch codes {
    case .e4M3: .f8E4M3
    case .e2M1: .u8
    case .int8: .i8
    case .tabled(let dtype): dtype
    }
  }
  /// The name of the codes' type.
  var codeName: String {
    switch codes {
    case .e4M3, .int8: codeDType.rawValue
    case .e2M1: global == nil ? "MXFP4" : "NVFP4"
    case .tabled: name.uppercased()
    }
  }

  /// Whose codes a tensor has.
  ///
  /// - Parameters:
  ///   - tensor: The tensor.
  ///   - isThere: Whether the folder has a tensor of a name.
  /// - Returns: The module; nil if the tensor has no codes.
  func module(of tensor: TensorInfo, isThere: (String) -> Bool) -> String? {
    guard tensor.dtype == codeDType, tensor.name.hasSuffix(endings.codes) else { return nil }
    let module = String(tensor.name.dropLast(endings.codes.count))
    // Weights that are not quantized may have the dtype in which codes are stored.
    guard case .tabled(let dtype) = codes, dtype != .u8 else { return module }
    let others = [module + endings.scales, tensor.name + TabledMatrix.stateEnding(name)]
    return others.contains(where: isThere) ? module : nil
  }

  /// A tensor that belongs to codes.
  ///
  /// - Parameters:
  ///   - ending: The ending of its name.
  ///   - module: The module.
  ///   - codes: The codes, for an error.
  ///   - path: The folder, for an error.
  ///   - find: Gives a tensor by its name.
  /// - Returns: The tensor.
  /// - Throws: `FormatError` when it is missing.
  func part(
    _ ending: String, of module: String, _ codes: TensorInfo, path: String, find: (String) -> TensorInfo?
  ) throws(FormatError) -> TensorInfo {
    guard let tensor = find(module + ending) else {
      throw FormatError(path, at: "tensor '\(codes.name)'", .missing("tensor '\(module + ending)'"))
    }
    return tensor
  }

  /// The block that shares a scale: a matrix has one scale, one for each row, or one for each stated block.
  func block(ofScales scales: TensorInfo, rows: Int, columns: Int) -> ScaleBlock {
    if codes != .e2M1, scales.elementCount == 1 { return ScaleBlock(rowCount: rows, columnCount: columns) }
    return block ?? ScaleBlock(rowCount: 1, columnCount: columns)
  }

  /// The tensor that codes and what belongs to them stand for.
  ///
  /// - Parameters:
  ///   - module: The module of the codes.
  ///   - codes: The codes.
  ///   - path: The folder, for errors.
  ///   - find: Gives a tensor by its name.
  ///   - read: Gives the bytes of a tensor.
  /// - Returns: The tensor.
  /// - Throws: `FormatError` when a tensor is missing or has another shape or layout.
  func tensor(
    _ module: String, _ codes: TensorInfo, path: String, find: (String) -> TensorInfo?,
    read: (TensorInfo) throws -> TensorBytes
  ) throws -> any ScaledTensor {
    if case .tabled = self.codes {
      return try TabledMatrix(module, codes, type: name, path: path, find: find, read: read)
    }
    guard isStacked else {
      let matrix = try ScaledMatrix(module, codes, self, path: path, find: find)
      try matrix.requireRows(path: path, read: read)
      return matrix
    }
    let scales = try part(endings.scales, of: module, codes, path: path, find: find)
    return try ScaledExperts(module, codes: codes, scales: scales, path: path)
  }
}

/// The rows and columns of a matrix that share a scale.
struct ScaleBlock: Equatable {
  let rowCount: Int
  let columnCount: Int
}

extension ScaledFormat {
  /// Reads a configuration.
  ///
  /// - Parameters:
  ///   - block: The object.
  ///   - place: Where it is.
  /// - Returns: The description; nil when it is of another kind, such as integers.
  /// - Throws: `FormatError` with the key.
  static func read(_ block: JSONValue, at place: ConfigurationPlace) throws(FormatError) -> ScaledFormat? {
    switch block["quant_method"]?.string.flatMap(Method.init) {
    case nil: return nil
    case .fp8:
      let name = try place.string("fmt", of: block) ?? "e4m3"
      guard name == "e4m3" else {
        throw place.error(.unsupportedKind("'\(name)'", supported: ["e4m3"]), at: "fmt")
      }
      return .e4M3(
        .fp8, name, scales: ".weight_scale_inv", block: try place.scaleBlock("weight_block_size", of: block))
    case .mxfp4:
      return ScaledFormat(
        method: .mxfp4, name: "mxfp4", codes: .e2M1, endings: ("_blocks", "_scales"), global: nil,
        block: mxfp4Block)
    case .fbgemmFP8: return .e4M3(.fbgemmFP8, "FP8", scales: ".weight_scale")
    case .modelopt:
      switch try place.string("quant_algo", of: block) {
      case "FP8": return .e4M3(.modelopt, "FP8", scales: ".weight_scale")
      case "NVFP4":
        return ScaledFormat(
          method: .modelopt, name: "NVFP4", codes: .e2M1, endings: (".weight", ".weight_scale"),
          global: .multiplies(".weight_scale_2"), block: nvfp4Block)
      case let name:
        throw place.error(
          .unsupportedKind("'\(name ?? "")'", supported: ["FP8", "NVFP4"]), at: "quant_algo")
      }
    case .compressedTensors: return try compressedTensors(block, at: place)
    case .bitsAndBytes: return try bitsAndBytes(block, at: place)
    }
  }

  private static func bitsAndBytes(
    _ block: JSONValue, at place: ConfigurationPlace
  ) throws(FormatError) -> ScaledFormat {
    if try place.bool("load_in_8bit", of: block) ?? false {
      return ScaledFormat(
        method: .bitsAndBytes, name: "int8", codes: .int8, endings: (".weight", ".SCB"), global: nil,
        block: nil)
    }
    guard try place.bool("load_in_4bit", of: block) ?? false else {
      throw place.error(.missing("'load_in_4bit' or 'load_in_8bit', true"))
    }
    let name = try place.string("bnb_4bit_quant_type", of: block) ?? "fp4"
    guard ["nf4", "fp4"].contains(name) else {
      throw place.error(.unsupportedKind("'\(name)'", supported: ["nf4", "fp4"]), at: "bnb_4bit_quant_type")
    }
    let storage = try place.string("bnb_4bit_quant_storage", of: block) ?? "uint8"
    guard let dtype = storages[storage] else {
      throw place.error(
        .unsupportedKind("'\(storage)'", supported: storages.keys.sorted()), at: "bnb_4bit_quant_storage")
    }
    return ScaledFormat(
      method: .bitsAndBytes, name: name, codes: .tabled(in: dtype), endings: (".weight", ".weight.absmax"),
      global: nil, block: nil)
  }

  private static func e4M3(
    _ method: Method, _ name: String, scales: String, block: ScaleBlock? = nil
  ) -> ScaledFormat {
    ScaledFormat(
      method: method, name: name, codes: .e4M3, endings: (".weight", scales), global: nil, block: block)
  }

  private static func compressedTensors(
    _ block: JSONValue, at place: ConfigurationPlace
  ) throws(FormatError) -> ScaledFormat? {
    guard let name = try place.string("format", of: block), compressedTensorsFormats.contains(name) else {
      return nil
    }
    let isPacked = name.hasSuffix("-pack-quantized")
    var blocks: [ScaleBlock] = []
    for group in block["config_groups"]?.object ?? [] {
      let inner = ConfigurationPlace(
        path: place.path, key: "\(place.key): 'config_groups': '\(group.key)': 'weights'")
      guard let weights = group.value["weights"] else { throw inner.error(.missing("the object")) }
      let (type, bits) = (
        try inner.string("type", of: weights) ?? "int", try inner.integer("num_bits", of: weights) ?? 0
      )
      guard type == "float", bits == (isPacked ? 4 : 8) else {
        throw inner.error(.unsupportedKind("type '\(type)' of \(bits) bits in the format '\(name)'"))
      }
      if let block = try inner.scaleBlock("block_structure", of: weights) {
        blocks.append(block)
      } else if !isPacked, let size = try inner.integer("group_size", of: weights) {
        guard size > 0 else { throw inner.error(.malformed("groups of \(size) columns"), at: "group_size") }
        blocks.append(ScaleBlock(rowCount: 1, columnCount: size))
      }
    }
    guard blocks.dropFirst().allSatisfy({ $0 == blocks[0] }) else {
      throw place.error(.unsupported("blocks of several sizes are not read"), at: "config_groups")
    }
    guard isPacked else {
      return .e4M3(.compressedTensors, name, scales: ".weight_scale", block: blocks.first)
    }
    let isNVFP4 = name.hasPrefix("nv")
    return ScaledFormat(
      method: .compressedTensors, name: name, codes: .e2M1, endings: (".weight_packed", ".weight_scale"),
      global: isNVFP4 ? .divides(".weight_global_scale") : nil, block: isNVFP4 ? nvfp4Block : mxfp4Block)
  }
}

extension ConfigurationPlace {
  /// The rows and columns under a key; nil when it is not there or null.
  fileprivate func scaleBlock(_ key: String, of block: JSONValue) throws(FormatError) -> ScaleBlock? {
    guard let value = block[key], !value.isNull else { return nil }
    let counts = (value.array ?? []).compactMap(\.integer)
    guard counts.count == 2, value.array?.count == 2, counts.allSatisfy({ $0 > 0 }) else {
      throw error(.malformed("is \(value.compactText), not the rows and columns of a block"), at: key)
    }
    return ScaleBlock(rowCount: counts[0], columnCount: counts[1])
  }
}
