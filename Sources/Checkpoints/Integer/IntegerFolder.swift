/// A Hugging Face folder whose weights have integer zero points, read as codes, scales and biases.
enum IntegerFolder {
  /// The files that repeat the configuration; they are not assets.
  static let configurationNames: Set<String> = [
    GPTQConfiguration.fileName, AWQConfiguration.fileName, AutoRoundConfiguration.fileName,
  ]

  /// Reads the configuration's description of such weights, if there is one.
  ///
  /// - Parameters:
  ///   - folder: The folder.
  ///   - names: The names in it.
  ///   - configuration: The contents of `config.json`, if it exists.
  ///   - tensors: The tensors of the files.
  /// - Returns: The description; nil when there is none, or when the weights are MLX's.
  /// - Throws: `FormatError` with the key, also for an unsupported method.
  static func quantization(
    of folder: String, _ names: [String], _ configuration: JSONValue?, _ tensors: [TensorInfo]
  ) throws -> IntegerQuantization? {
    // MLX's own key is sufficient.
    if configuration?["quantization"].map({ !$0.isNull }) == true { return nil }
    let path = FileSystem.join(folder, SafetensorsFolder.configurationName)
    if let block = configuration?["quantization_config"], let method = block["quant_method"], !method.isNull {
      if AutoRoundConfiguration.isMLX(block) { return nil }
      return try read(block, at: ConfigurationPlace(path: path, key: "key 'quantization_config'"))
    }
    // Older tools have a file of their own.
    guard let name = [GPTQConfiguration.fileName, AWQConfiguration.fileName].first(where: names.contains),
      tensors.contains(where: { $0.name.hasSuffix(".qweight") })
    else { return nil }
    let file = try FileSystem.pathInside(folder, name)
    let block = try JSONValue(contentsOf: file)
    guard block.object != nil else { throw FormatError(file, .malformed("is not an object")) }
    let place = ConfigurationPlace(path: file, key: "")
    return name == GPTQConfiguration.fileName
      ? try GPTQConfiguration.read(block, at: place) : try AWQConfiguration.read(block, at: place)
  }

  private static func read(
    _ block: JSONValue, at place: ConfigurationPlace
  ) throws(FormatError) -> IntegerQuantization {
    let name = try place.string("quant_method", of: block) ?? ""
    switch IntegerQuantization.Method(rawValue: name) {
    case .gptq: return try GPTQConfiguration.read(block, at: place)
    case .awq: return try AWQConfiguration.read(block, at: place)
    case .autoRound: return try AutoRoundConfiguration.read(block, at: place)
    case .compressedTensors: return try CompressedTensorsConfiguration.read(block, at: place)
    case nil:
      throw place.error(
        .unsupportedKind("'\(name)'", supported: methods), at: "quant_method")
    }
  }

  /// The names of all methods that are read.
  private static var methods: [String] {
    let scaled = ScaledFormat.Method.allCases.filter { $0 != .compressedTensors }
    return IntegerQuantization.Method.allCases.map(\.rawValue) + scaled.map(\.rawValue)
  }

  /// Replaces packed tensors with their modules.
  ///
  /// - Parameters:
  ///   - quantization: The configuration's description.
  ///   - store: The files.
  ///   - contents: The contents of the files; `tensors` and `quantization` are replaced, `metadata` describes
  ///     the source.
  ///   - configuration: The contents of `config.json`.
  ///   - path: The folder.
  /// - Returns: The source of the bytes.
  /// - Throws: `FormatError` for tensors that do not fit each other or the configuration.
  static func translate(
    _ quantization: IntegerQuantization, _ store: SafetensorsStore, _ contents: inout CheckpointContents,
    configuration: JSONValue?, path: String
  ) throws -> any TensorStore {
    guard contents.adapter == nil else {
      throw FormatError(path, .unsupported("has an adapter beside \(quantization.method.rawValue) weights"))
    }
    let modules = try readModules(quantization, store, path: path)
    let zeroPoints = try DetectedZeroPoints(quantization, modules, store, path: path)
    contents.tensors = try replaced(contents.tensors, modules, quantization.layout, path: path)
    // Only codes in bytes are multiplied with inputs that are rounded.
    if quantization.layout == .bytes, let notice = RuntimeScales.notice(of: store.tensors) {
      contents.tensors.removeAll(where: RuntimeScales.contains)
      contents.notices.append(notice)
    }
    contents.quantization = Dictionary(
      uniqueKeysWithValues: modules.map {
        ($0.name, $0.quantizedLayout)
      })
    let assets = contents.leaveOutQuantization(of: configuration, repeating: configurationNames)
    contents.metadata.set("source_format", to: zeroPoints.description(of: quantization))
    let source = IntegerStore(
      base: store, modules: Dictionary(uniqueKeysWithValues: modules.map { ($0.name, $0) }),
      zeroPoints: zeroPoints.stored, path: path)
    return StoreWithAssets(base: source, assets: assets)
  }

  private static func readModules(
    _ quantization: IntegerQuantization, _ store: SafetensorsStore, path: String
  ) throws -> [IntegerModule] {
    let reader = IntegerModuleReader(
      quantization: quantization,
      tensors: Dictionary(uniqueKeysWithValues: store.tensors.map { ($0.name, $0) }), path: path)
    let names = Set(store.tensors.compactMap { quantization.layout.module(of: $0) })
    return try names.sorted(by: precedes).map { name in
      let module = try reader.module(name)
      try reader.checkIndices(of: module) { try store.bytes(of: $0) }
      return module
    }
  }

  /// The tensors, with each module's three where its codes were.
  private static func replaced(
    _ tensors: [TensorInfo], _ modules: [IntegerModule], _ layout: IntegerQuantization.Layout, path: String
  ) throws(FormatError) -> [TensorInfo] {
    let moduleByCodes = Dictionary(uniqueKeysWithValues: modules.map { ($0.codes.name, $0) })
    var result: [TensorInfo] = []
    for tensor in tensors {
      if let module = moduleByCodes[tensor.name] {
        result += module.tensors
      } else if layout.module(of: tensor) == nil {
        result.append(tensor)
      }
    }
    var names: Set<String> = []
    for tensor in result where !names.insert(tensor.name).inserted {
      throw FormatError(path, at: "tensor '\(tensor.name)'", .malformed("its module is quantized"))
    }
    return result
  }
}

/// How zero points are stored, according to the configuration or to symmetric modules.
struct DetectedZeroPoints {
  /// The contents of the fields.
  let stored: StoredZeroPoints

  /// Looks at the fields of all symmetric modules, whose zero point is known.
  ///
  /// - Parameters:
  ///   - quantization: The configuration's description.
  ///   - modules: The modules.
  ///   - store: The files.
  ///   - path: The folder, for errors.
  /// - Throws: `FormatError` when the fields are not all of the same version.
  init(
    _ quantization: IntegerQuantization, _ modules: [IntegerModule], _ store: SafetensorsStore, path: String
  ) throws {
    let declared = quantization.zeroPoints
    let symmetric = modules.filter { $0.isSymmetric && $0.zeroPoints != nil }
    for version in [declared, declared.other] {
      if try symmetric.allSatisfy({ try Self.holds(version, $0, store) }) {
        stored = version
        return
      }
    }
    let ofNeither = try symmetric.first {
      try !Self.holds(declared, $0, store) && !Self.holds(declared.other, $0, store)
    }
    guard let module = try ofNeither ?? symmetric.first(where: { try !Self.holds(declared, $0, store) })
    else {
      preconditionFailure("every module holds the declared version")
    }
    throw FormatError(
      path, at: "tensor '\(module.zeroPoints?.name ?? module.name)'",
      .malformed(
        "symmetric \(module.bits)-bit codes have the zero point \(module.middle), stored as "
          + "\(module.middle - 1) (v1) or \(module.middle) (v2) in all modules alike; here are others"))
  }

  private static func holds(
    _ version: StoredZeroPoints, _ module: IntegerModule, _ store: SafetensorsStore
  ) throws -> Bool {
    guard let tensor = module.zeroPoints else { return true }
    let field = version == .v1 ? module.middle - 1 : module.middle
    return try store.bytes(of: tensor).withSpan {
      PackedZeroPoints.areAll(field, in: $0, bits: module.bits)
    }
  }

  /// The metadata about the source.
  func description(of quantization: IntegerQuantization) -> JSONValue {
    var members = [
      JSONValue.Member("quant_method", .string(quantization.method.rawValue)),
      JSONValue.Member("format", .string(quantization.formatName)),
    ]
    if quantization.layout == .gptq {
      let declared = quantization.zeroPoints
      members.append(
        JSONValue.Member(
          "zero_points",
          .string(stored == declared ? stored.rawValue : "\(stored.rawValue) (declared \(declared.rawValue))")
        ))
    }
    return .object(members)
  }
}
