/// Writes a checkpoint as a Hugging Face folder that MLX, transformers and PEFT load.
///
/// Adapter tensors go to PEFT's files, everything else to one `model.safetensors` or to shards with an index.
/// `config.json` says which modules are quantized; the provenance goes to `rilq.json`.
package final class SafetensorsFolderWriter: MetadataLastWriter {
  /// The default maximum of tensor bytes per file, as on Hugging Face.
  package static let defaultShardByteLimit = 5_000_000_000

  private var contents: CheckpointContents
  private let folder: String
  private let shards: SafetensorsShards
  private let adapterTensors: [TensorInfo]
  private let naming: PeftNaming
  private let isForMLX: Bool
  private var outputs: [Int: SafetensorsOutput] = [:]
  private var adapterOutput: SafetensorsOutput?
  private var tensorsWritten = 0
  private var assetsWritten = 0
  private var byteCount = 0
  package var metadata: JSONValue {
    get { contents.metadata }
    set { contents.metadata = newValue }
  }

  /// Plans the files.
  ///
  /// - Parameters:
  ///   - contents: What will be written, in this order.
  ///   - folder: The folder to write into; created if it does not exist.
  ///   - shardByteLimit: The maximum of tensor bytes per file.
  ///   - isForMLX: Whether MLX must load it, rather than PEFT and transformers.
  /// - Throws: `FormatError` when the contents disagree with themselves or cannot be represented.
  package init(
    _ contents: CheckpointContents, folder: String, shardByteLimit: Int = defaultShardByteLimit,
    isForMLX: Bool = false
  ) throws {
    try contents.validateQuantization(path: folder, allowsStacks: isForMLX)
    if isForMLX { try contents.validateForMLX(path: folder) }
    self.isForMLX = isForMLX
    try Self.checkAssets(contents, folder)
    self.contents = contents
    self.folder = folder
    let isAdapter = { (tensor: TensorInfo) in
      ModuleTensor.loraA.module(of: tensor.name) != nil || ModuleTensor.loraB.module(of: tensor.name) != nil
    }
    adapterTensors = contents.tensors.filter(isAdapter)
    naming = PeftNaming.written(for: contents.tensors)
    shards = SafetensorsShards(contents.tensors.filter { !isAdapter($0) }, byteLimit: shardByteLimit)
    try FileSystem.createFolder(folder)
    try writeAdapterConfiguration()
  }

  private static func checkAssets(_ contents: CheckpointContents, _ folder: String) throws(FormatError) {
    var names: Set<String> = []
    for asset in contents.assets {
      let place = "asset '\(asset.name)'"
      guard FileSystem.isPlainRelativePath(asset.name) else {
        throw FormatError(folder, at: place, .malformed("is not a path inside the checkpoint"))
      }
      guard !SafetensorsFolder.reservedNames.contains(asset.name),
        FileSystem.fileExtension(asset.name) != "safetensors"
      else {
        throw FormatError(folder, at: place, .unsupported("the name is taken by the checkpoint itself"))
      }
      guard names.insert(asset.name).inserted else {
        throw FormatError(folder, at: place, .malformed("is there twice"))
      }
    }
    guard contents.quantization.isEmpty || names.contains(SafetensorsFolder.configurationName) else {
      throw FormatError(
        folder, .missing("'\(SafetensorsFolder.configurationName)', which says what is quantized,"))
    }
  }

  package func write(_ tensor: TensorInfo, _ bytes: RawSpan) throws {
    precondition(
      tensorsWritten < contents.tensors.count && contents.tensors[tensorsWritten] == tensor,
      "tensor '\(tensor.name)' is not the one announced at \(tensorsWritten)")
    precondition(
      bytes.byteCount == tensor.byteCount, "\(bytes.byteCount) bytes for a tensor of \(tensor.byteCount)")
    tensorsWritten += 1
    if let shard = shards.shardByTensor[tensor.name] {
      let output = try output(of: shard)
      try output.write(tensor.name, bytes)
      if output.isComplete { outputs[shard] = nil }
    } else {
      try openedAdapterOutput().write(peftName(tensor.name), bytes)
    }
  }

  private func output(of shard: Int) throws -> SafetensorsOutput {
    if let output = outputs[shard] { return output }
    let (name, tensors) = shards.shards[shard]
    let format = contents.quantization.isEmpty && !isForMLX ? "pt" : "mlx"
    let output = try SafetensorsOutput(creating: folder + "/" + name, tensors, format: format)
    byteCount += output.byteCount
    outputs[shard] = output
    return output
  }

  package func write(_ asset: Asset, _ bytes: RawSpan) throws {
    precondition(
      assetsWritten < contents.assets.count && contents.assets[assetsWritten] == asset,
      "asset '\(asset.name)' is not the one announced at \(assetsWritten)")
    assetsWritten += 1
    if let slash = asset.name.utf8.lastIndex(of: UInt8(ascii: "/")) {
      try FileSystem.createFolder(folder + "/" + asset.name[..<slash])
    }
    if asset.name == SafetensorsFolder.configurationName, let rewritten = try configuration(bytes) {
      try write(rewritten, to: asset.name)
    } else {
      try write(bytes, to: asset.name)
    }
  }

  /// The text of a `config.json` with an updated description of quantization; nil when it needs no change.
  private func configuration(_ bytes: RawSpan) throws -> String? {
    let path = folder + "/" + SafetensorsFolder.configurationName
    let configuration = try JSONValue(parsingObject: bytes, path: path)
    let base = isForMLX ? contents.configurationForMLX(configuration, path: path) : configuration
    let rewritten = QuantizationConfiguration.rewrite(base, for: contents.quantization) ?? base
    return rewritten == configuration ? nil : rewritten.prettyText + "\n"
  }

  package func finish() throws -> Int {
    precondition(
      tensorsWritten == contents.tensors.count && assetsWritten == contents.assets.count,
      "finished after \(tensorsWritten) of \(contents.tensors.count) tensors, \(assetsWritten) assets")
    // A checkpoint without tensors still has its file.
    if contents.tensors.count == adapterTensors.count { try output(of: 0).sync() }
    if contents.metadata != .object([]) {
      try write(contents.metadata.prettyText + "\n", to: SafetensorsFolder.provenanceName)
    }
    if shards.shards.count > 1 { try writeIndex() }
    try FileSystem.sync(folder)
    return byteCount
  }

  private func writeIndex() throws {
    let text = SafetensorsIndex.text(
      shards.shardByTensor.mapValues { shards.shards[$0].name },
      byteCount: shards.shards.reduce(0) { $1.tensors.reduce($0) { $0 + $1.byteCount } },
      parameterCount: isForMLX ? contents.parameterCount : nil)
    try write(text, to: SafetensorsIndex.fileName)
  }
}

extension SafetensorsFolderWriter {
  private func writeAdapterConfiguration() throws {
    guard let adapter = contents.adapter else { return }
    let groupCounts = try adapterGroupCounts()
    let text = PeftConfiguration.text(adapter, groupCounts.columns, groupSize: groupCounts.groupSize)
    try write(text, to: PeftAdapter.configurationName)
  }

  /// The name of a tensor in the adapter's file.
  private func peftName(_ name: String) -> String {
    PeftTensorName.prefix + (naming.inTransformers(name) ?? name)
  }

  /// The columns of each A by its module in transformers, and the group size of a pooled adapter.
  private func adapterGroupCounts() throws -> (columns: [String: Int], groupSize: Int?) {
    var columns: [String: Int] = [:]
    var groupSizes: Set<Int> = []
    for tensor in adapterTensors {
      guard let module = ModuleTensor.loraA.module(of: tensor.name) else { continue }
      columns[naming.inTransformers(module) ?? module] = tensor.shape[1]
      if let parameters = contents.quantization[module] { groupSizes.insert(parameters.groupSize) }
    }
    guard contents.adapter?.kind == .pooled else { return (columns, nil) }
    guard groupSizes.count == 1 else {
      throw FormatError(
        folder, at: PeftAdapter.configurationName,
        .unsupported("a pooled adapter over groups of \(groupSizes.sorted()); PEFT has one group size"))
    }
    return (columns, groupSizes.first)
  }

  private func openedAdapterOutput() throws -> SafetensorsOutput {
    if let adapterOutput { return adapterOutput }
    let renamed = adapterTensors.map {
      TensorInfo(name: peftName($0.name), dtype: $0.dtype, shape: $0.shape)
    }
    let output = try SafetensorsOutput(
      creating: folder + "/" + PeftAdapter.tensorsName, renamed, format: "pt")
    byteCount += output.byteCount
    adapterOutput = output
    return output
  }

  private func write(_ text: String, to name: String) throws {
    let bytes = Array(text.utf8)
    try TensorBytes(bytes).withSpan { try write($0, to: name) }
  }

  private func write(_ bytes: RawSpan, to name: String) throws {
    var file = try OutputFile(creating: folder + "/" + name)
    try file.append(bytes)
    try file.sync()
    byteCount += bytes.byteCount
  }
}
