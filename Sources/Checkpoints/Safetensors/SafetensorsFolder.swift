/// A folder in Hugging Face's layout: weights in safetensors files, and everything that goes with them.
enum SafetensorsFolder {
  static let configurationName = "config.json"
  static let provenanceName = "rilq.json"
  static let singleName = "model.safetensors"

  /// Opens a folder; only headers and small JSON files are read.
  ///
  /// - Parameters:
  ///   - path: The folder.
  ///   - access: Whether its files are mapped or read.
  /// - Returns: The description, with access to the bytes.
  /// - Throws: `FormatError` for anything malformed, ambiguous or of another kind.
  static func open(path: String, access: FileAccess) throws -> Checkpoint {
    let names = try FileSystem.names(in: path)
    var store = SafetensorsStore(path: path, access: access)
    try addWeights(of: path, names, access, to: &store)
    let base = store.tensors
    let positions = store.positions
    let adapter = try openAdapter(of: path, names, access)?.named { positions[$0] != nil }
    if let adapter { try store.add(adapter.file, rename: adapter.checkpointName) }
    let configuration = try configuration(of: path, names)
    var contents = CheckpointContents(
      tensors: store.tensors,
      adapter: try adapter?.parameters(),
      assets: try FolderAssets.list(in: path, except: reservedNames),
      metadata: try provenance(of: path, names))
    var source: any TensorStore = store
    if let format = try ScaledFolder.format(of: path, configuration) {
      source = try ScaledFolder.translate(
        format, store, &contents, configuration: configuration, path: path)
    } else if let integer = try IntegerFolder.quantization(of: path, names, configuration, base) {
      source = try IntegerFolder.translate(
        integer, store, &contents, configuration: configuration, path: path)
    } else {
      contents.quantization = try quantization(of: path, configuration, base)
    }
    // Translated or renamed contents have other tensors than the files.
    let indices = contents.tensors == store.tensors ? store.positions : nil
    let stored = Checkpoint(
      path: path, format: .safetensors, contents: contents, store: source, indexByName: indices)
    let checkpoint = try stored.separatingStackedExperts(configuration)
    try checkpoint.contents.validateQuantization(path: path)
    try adapter?.checkGroups(checkpoint.contents.quantization)
    return checkpoint
  }

  /// The files that do not become assets, because they are read for another purpose.
  static let reservedNames: Set<String> = [
    provenanceName, SafetensorsIndex.fileName, PeftAdapter.configurationName,
  ]

  private static func addWeights(
    of folder: String, _ names: [String], _ access: FileAccess, to store: inout SafetensorsStore
  ) throws {
    if names.contains(SafetensorsIndex.fileName) {
      try addShards(of: folder, names, access, to: &store)
    } else {
      let path = try FileSystem.pathInside(folder, singleFile(of: folder, names))
      try store.add(SafetensorsFile(path: path, access: access))
    }
  }

  private static func addShards(
    of folder: String, _ names: [String], _ access: FileAccess, to store: inout SafetensorsStore
  ) throws {
    let index = try SafetensorsIndex(path: FileSystem.pathInside(folder, SafetensorsIndex.fileName))
    if names.contains(singleName), !index.shardNames.contains(singleName) {
      throw FormatError(
        folder, .malformed("has \(singleName) and an index of other files; one of them must go"))
    }
    for name in index.shardNames {
      guard names.contains(name) else {
        throw FormatError(folder, at: SafetensorsIndex.fileName, .missing("shard '\(name)'"))
      }
      let shard = try SafetensorsFile(path: FileSystem.pathInside(folder, name), access: access)
      try index.check(shard, named: name)
      try store.add(shard)
    }
    let present = store.positions
    try index.checkComplete { present[$0] != nil }
  }

  /// The name of the one file that holds the weights.
  private static func singleFile(of folder: String, _ names: [String]) throws -> String {
    if names.contains(singleName) { return singleName }
    let candidates = names.filter {
      FileSystem.fileExtension($0) == "safetensors" && $0 != PeftAdapter.tensorsName && !$0.hasPrefix(".")
    }
    let others = candidates.filter { !$0.hasPrefix("consolidated") }
    if others.count == 1 { return others[0] }
    if others.count > 1 {
      throw FormatError(
        folder, .malformed("has \(others.count) safetensors files and no \(SafetensorsIndex.fileName)"))
    }
    throw FormatError(folder, absence(candidates, names))
  }

  /// Why a folder has no weights to read.
  private static func absence(_ consolidated: [String], _ names: [String]) -> FormatError.Problem {
    if let name = consolidated.first {
      return .unsupported("'\(name)' is in Mistral's own layout, not in Hugging Face's")
    }
    if names.contains(PeftAdapter.tensorsName) {
      return .unsupported("holds an adapter only, without the model it belongs to")
    }
    if let name = names.first(where: { ["bin", "pth", "pt"].contains(FileSystem.fileExtension($0)) }) {
      return .unsupported("'\(name)' is a pickle, which can run code; safetensors files are needed")
    }
    return .missing("a safetensors file")
  }

  private static func openAdapter(
    of folder: String, _ names: [String], _ access: FileAccess
  ) throws -> PeftAdapter? {
    guard names.contains(PeftAdapter.tensorsName) || names.contains(PeftAdapter.configurationName) else {
      return nil
    }
    return try PeftAdapter.open(folder, access: access)
  }

  private static func configuration(of folder: String, _ names: [String]) throws -> JSONValue? {
    guard names.contains(configurationName) else { return nil }
    return try JSONValue(contentsOf: FileSystem.pathInside(folder, configurationName))
  }

  private static func quantization(
    of folder: String, _ configuration: JSONValue?, _ tensors: [TensorInfo]
  ) throws -> [String: QuantizedLayout] {
    guard let configuration else { return [:] }
    let path = FileSystem.join(folder, configurationName)
    if let block = configuration["quantization_config"], AutoRoundConfiguration.isMLX(block),
      configuration["quantization"]?.isNull ?? true
    {
      let place = ConfigurationPlace(path: path, key: "key 'quantization_config'")
      return try AutoRoundConfiguration.mlxModules(block, among: tensors, at: place)
    }
    return try QuantizationConfiguration(configuration, path: path)?.modules(among: tensors) ?? [:]
  }

  private static func provenance(of folder: String, _ names: [String]) throws -> JSONValue {
    guard names.contains(provenanceName) else { return .object([]) }
    let path = try FileSystem.pathInside(folder, provenanceName)
    let document = try JSONValue(contentsOf: path)
    guard document.object != nil else { throw FormatError(path, .malformed("is not an object")) }
    return document
  }
}
