/// An adapter in PEFT's folder format: `adapter_config.json` and `adapter_model.safetensors`.
///
/// `Formats/peft.md` describes what is read and what it means.
public struct PeftAdapter: Sendable {
  static let configurationName = "adapter_config.json"
  static let tensorsName = "adapter_model.safetensors"

  /// The folder.
  public let path: String
  /// The tensors, with the names of the file and in its order.
  public let tensors: [TensorInfo]
  /// The modules that have an adapter, in the order of the file.
  package private(set) var modules: [PeftModule]
  /// The tensors that replace tensors of the base.
  package private(set) var replacements: [PeftReplacement]
  /// How the names of the file become those of the base.
  private(set) var naming = PeftNaming.same
  let configuration: PeftConfiguration
  let file: SafetensorsFile
  private let store: SafetensorsStore

  /// The number of columns per mean, if the adapter is pooled.
  public var groupSize: Int? { configuration.groupSize }
  /// Whether the base stores its linears as `[in, out]`.
  package var isFanInFanOut: Bool { configuration.isFanInFanOut }
  /// Whether an embedding and the output head that shares its weights have copies of one adapter.
  package var ensuresWeightTying: Bool { configuration.ensuresWeightTying }
  /// The file that selects the modules, for errors.
  package var configurationPath: String { configuration.path }
  /// The file of the tensors, for errors.
  package var tensorsPath: String { file.path }
  /// The names and paths of the adapter's files.
  package var files: [(name: String, path: String)] {
    [(Self.configurationName, configuration.path), (Self.tensorsName, file.path)]
  }

  /// Opens an adapter folder; only headers are read.
  ///
  /// - Parameters:
  ///   - folder: The folder.
  ///   - access: Whether its tensors are mapped or read.
  /// - Returns: The description, with access to the bytes.
  /// - Throws: `FormatError` when it is malformed, or means something unsupported.
  public static func open(_ folder: String, access: FileAccess = .mapped) throws -> PeftAdapter {
    if case .file = try FileSystem.kind(of: folder) {
      throw FormatError(
        folder,
        .unsupported(
          "is a file; expected the adapter's folder, with '\(configurationName)' and '\(tensorsName)'"))
    }
    let names = try FileSystem.names(in: folder)
    guard names.contains(configurationName) else {
      throw FormatError(folder, .missing("'\(configurationName)' of the adapter"))
    }
    guard names.contains(tensorsName) else { throw FormatError(folder, absence(names)) }
    let configuration = try PeftConfiguration(path: FileSystem.pathInside(folder, configurationName))
    let path = try FileSystem.pathInside(folder, tensorsName)
    return try PeftAdapter(folder, configuration, SafetensorsFile(path: path, access: access), access)
  }

  private init(
    _ folder: String, _ configuration: PeftConfiguration, _ file: SafetensorsFile, _ access: FileAccess
  ) throws {
    var store = SafetensorsStore(path: file.path, access: access)
    try store.add(file)
    var parts = PeftParts(path: file.path)
    for tensor in store.tensors { try parts.add(tensor) }
    path = folder
    self.configuration = configuration
    self.file = file
    self.store = store
    tensors = store.tensors
    modules = try parts.modules(configuration)
    replacements = parts.replacements
    try checkSaved()
  }

  /// The bytes of one of the tensors.
  ///
  /// - Throws: `FormatError` when there is no such tensor.
  public func bytes(of tensor: TensorInfo) throws -> TensorBytes { try store.bytes(of: tensor) }

  /// The same adapter with the names that its modules and tensors have in a checkpoint.
  ///
  /// - Parameter isThere: Whether the checkpoint has a tensor of a name.
  /// - Returns: The adapter; names without a place stay as they are.
  /// - Throws: `FormatError` when two modules get the same name.
  package func named(as isThere: (String) -> Bool) throws(FormatError) -> PeftAdapter {
    var result = self
    let changed = modules.map { ModuleTensor.weight.name(of: $0.name) } + replacements.map(\.name)
    let naming = PeftNaming.matching(changed, isThere)
    result.naming = naming
    result.modules = modules.map { $0.renamed(naming.inCheckpoint($0.name)) }
    result.replacements = replacements.map {
      PeftReplacement(name: naming.inCheckpoint($0.name), tensor: $0.tensor)
    }
    var names: Set<String> = []
    for (name, tensor) in result.modules.map({ ($0.name, $0.loraA) })
      + result.replacements.map({ ($0.name, $0.tensor) }) where !names.insert(name).inserted
    {
      throw FormatError(
        file.path, at: "tensor '\(tensor.name)'", .malformed("is the second one for '\(name)'"))
    }
    return result
  }

  /// A test for the names of modules of the base that the configuration adapts.
  package func targetMatcher() -> (String) -> Bool {
    let matches = configuration.targets.matcher()
    return { [naming] name in naming.inTransformers(name).map(matches) ?? false }
  }

  /// The names and endings that the configuration lists as targets; empty when it has an expression.
  package var targetNames: [String] {
    if case .ends(let names) = configuration.targets.targets { names } else { [] }
  }

  /// Checks that every entry of `modules_to_save` has tensors.
  private func checkSaved() throws(FormatError) {
    for name in configuration.modulesToSave {
      let isThere = replacements.contains { replacement in
        // PEFT takes modules whose names end with the entry, and everything inside them.
        let parts = replacement.name.split(separator: ".")
        return parts.indices.dropLast().contains { parts[...$0].joined(separator: ".").hasByteSuffix(name) }
      }
      guard isThere else {
        throw FormatError(
          configuration.path, at: "key 'modules_to_save': '\(name)'",
          .missing("a tensor of it in the adapter"))
      }
    }
  }

  private static func absence(_ names: [String]) -> FormatError.Problem {
    names.contains("adapter_model.bin")
      ? .unsupported("'adapter_model.bin' is a pickle, which can run code; '\(tensorsName)' is needed")
      : .missing("'\(tensorsName)' of the adapter")
  }
}

/// The tensors of an adapter, gathered by module.
private struct PeftParts {
  private struct Parts {
    var isEmbedding = false
    var loraA: TensorInfo?
    var loraB: TensorInfo?
    var magnitude: TensorInfo?
    var bias: TensorInfo?
  }

  let path: String
  private(set) var replacements: [PeftReplacement] = []
  private var order: [String] = []
  private var parts: [String: Parts] = [:]

  init(path: String) { self.path = path }

  mutating func add(_ tensor: TensorInfo) throws(FormatError) {
    guard tensor.dtype.isWeight else {
      throw error(tensor, .unsupported("is \(tensor.dtype.rawValue), not F16, BF16 or F32"))
    }
    switch PeftTensorName(tensor.name) {
    case .loraA(let module, let isEmbedding):
      edit(module) { ($0.loraA, $0.isEmbedding) = (tensor, $0.isEmbedding || isEmbedding) }
    case .loraB(let module, let isEmbedding):
      edit(module) { ($0.loraB, $0.isEmbedding) = (tensor, $0.isEmbedding || isEmbedding) }
    case .bias(let module): edit(module) { $0.bias = tensor }
    case .magnitude(let module): edit(module) { $0.magnitude = tensor }
    case .replacement(let name):
      guard !replacements.contains(where: { $0.name == name }) else {
        throw error(tensor, .malformed("is the second tensor for '\(name)'"))
      }
      replacements.append(PeftReplacement(name: name, tensor: tensor))
    case nil:
      throw error(tensor, .unsupported("does not begin with '\(PeftTensorName.prefix)'"))
    }
  }

  private mutating func edit(_ module: String, _ body: (inout Parts) -> Void) {
    if parts[module] == nil { order.append(module) }
    body(&parts[module, default: Parts()])
  }

  /// The modules, complete and with the rank that the configuration gives them.
  func modules(_ configuration: PeftConfiguration) throws(FormatError) -> [PeftModule] {
    guard !order.isEmpty || !replacements.isEmpty else {
      throw FormatError(path, .missing("the tensors of the adapter"))
    }
    let values = try configuration.values(for: order)
    var modules: [PeftModule] = []
    for (module, value) in zip(order, values) {
      modules.append(try self.module(module, value.rank, value.alpha, configuration))
    }
    return modules
  }

  private func module(
    _ name: String, _ rank: Int, _ alpha: Double, _ configuration: PeftConfiguration
  ) throws(FormatError) -> PeftModule {
    let parts = parts[name] ?? Parts()
    let (nameA, nameB) =
      parts.isEmbedding ? ("lora_embedding_A", "lora_embedding_B") : ("lora_A.weight", "lora_B.weight")
    let a = try require(parts.loraA, nameA, of: name)
    let b = try require(parts.loraB, nameB, of: name)
    for (tensor, axis) in [(a, 0), (b, 1)] {
      guard tensor.shape.count == 2, tensor.elementCount > 0 else {
        throw error(tensor, .unsupported("shape \(tensor.shape) is not that of a linear or an embedding"))
      }
      guard tensor.shape[axis] == rank else {
        throw error(
          tensor,
          .malformed(
            "shape \(tensor.shape) does not have the rank \(rank) of \(PeftAdapter.configurationName)"))
      }
    }
    if parts.isEmbedding, configuration.hasLoraBias || configuration.groupSize != nil {
      throw error(a, .unsupported("an embedding has no lora_bias and is not pooled"))
    }
    try check(
      parts.magnitude, "lora_magnitude_vector", of: name, isWanted: configuration.usesDora, "use_dora")
    try check(parts.bias, "lora_B.bias", of: name, isWanted: configuration.hasLoraBias, "lora_bias")
    let root = Double(rank).squareRoot()
    let isStabilized = configuration.isRankStabilized
    return PeftModule(
      name: name, isEmbedding: parts.isEmbedding, rank: rank,
      alpha: isStabilized ? alpha * root : alpha,
      scaling: alpha / (isStabilized ? root : Double(rank)),
      loraA: a, loraB: b, magnitude: parts.magnitude, bias: parts.bias)
  }

  private func require(
    _ tensor: TensorInfo?, _ name: String, of module: String
  ) throws(FormatError) -> TensorInfo {
    guard let tensor else {
      throw FormatError(
        path, at: "module '\(module)'", .missing("tensor '\(PeftTensorName.prefix)\(module).\(name)'"))
    }
    return tensor
  }

  private func check(
    _ tensor: TensorInfo?, _ name: String, of module: String, isWanted: Bool, _ key: String
  ) throws(FormatError) {
    if isWanted { _ = try require(tensor, name, of: module) }
    if let tensor, !isWanted {
      throw error(tensor, .malformed("is there, but \(key) is off in \(PeftAdapter.configurationName)"))
    }
  }

  private func error(_ tensor: TensorInfo, _ problem: FormatError.Problem) -> FormatError {
    FormatError(path, at: "tensor '\(tensor.name)'", problem)
  }
}
