/// A Hugging Face folder whose matrices are small numbers with scales, read as floats of 16 or 32 bits.
enum ScaledFolder {
  /// A file that repeats the configuration; it is no asset.
  private static let configurationName = "hf_quant_config.json"

  /// Reads the configuration's description of such matrices.
  ///
  /// - Parameters:
  ///   - folder: The folder.
  ///   - configuration: The contents of `config.json`, if it exists.
  /// - Returns: The description; nil when there is none, or when the weights are of another kind.
  /// - Throws: `FormatError` with the key.
  static func format(of folder: String, _ configuration: JSONValue?) throws(FormatError) -> ScaledFormat? {
    // MLX's own key is sufficient.
    guard configuration?["quantization"]?.isNull ?? true, let block = configuration?["quantization_config"]
    else { return nil }
    let path = FileSystem.join(folder, SafetensorsFolder.configurationName)
    return try ScaledFormat.read(
      block, at: ConfigurationPlace(path: path, key: "key 'quantization_config'"))
  }

  /// Replaces codes and scales with the matrices that they stand for.
  ///
  /// - Parameters:
  ///   - format: The configuration's description.
  ///   - store: The files.
  ///   - contents: The contents of the files; they are replaced by what is read.
  ///   - configuration: The contents of `config.json`.
  ///   - path: The folder.
  /// - Returns: The source of the bytes.
  /// - Throws: `FormatError` for tensors that do not fit each other or the configuration; errors of reading.
  static func translate(
    _ format: ScaledFormat, _ store: SafetensorsStore, _ contents: inout CheckpointContents,
    configuration: JSONValue?, path: String
  ) throws -> any TensorStore {
    let (tensors, positions) = (store.tensors, store.positions)
    var scaled: [String: any ScaledTensor] = [:]
    var parts: Set<String> = []
    for codes in tensors {
      guard let module = format.module(of: codes, isThere: { positions[$0] != nil }) else { continue }
      let tensor = try format.tensor(
        module, codes, path: path, find: { name in positions[name].map { tensors[$0] } },
        read: { try store.bytes(of: $0) })
      let name = tensor.tensor.name
      guard name == codes.name || positions[name] == nil else {
        throw FormatError(path, at: "tensor '\(name)'", .malformed("'\(codes.name)' stands for it, too"))
      }
      scaled[codes.name] = tensor
      parts.formUnion(tensor.parts.dropFirst().map(\.name))
    }
    contents.tensors = contents.tensors.compactMap { tensor in
      if let scaled = scaled[tensor.name] { return scaled.tensor }
      return parts.contains(tensor.name) || RuntimeScales.contains(tensor) ? nil : tensor
    }
    let rounded = scaled.values.count { !$0.isExact }
    contents.notices =
      (rounded > 0 ? [roundingNotice(format, rounded)] : [])
      + (RuntimeScales.notice(of: tensors).map { [$0] } ?? [])
    contents.metadata.set(
      "source_format",
      to: .object([
        JSONValue.Member("quant_method", .string(format.method.rawValue)),
        JSONValue.Member("format", .string(format.name)),
      ]))
    let assets = contents.leaveOutQuantization(of: configuration, repeating: [configurationName])
    let source = ScaledStore(
      base: store,
      scaled: Dictionary(uniqueKeysWithValues: scaled.values.map { ($0.tensor.name, $0) }),
      codeName: format.codeName, path: path)
    return StoreWithAssets(base: source, assets: assets)
  }

  private static func roundingNotice(_ format: ScaledFormat, _ count: Int) -> String {
    "\(format.codeName): \(count) tensor\(count == 1 ? "" : "s") rounded to \(ScaledMatrix.dtype.rawValue)"
  }
}

/// The bytes of a checkpoint with small floats.
struct ScaledStore: TensorStore {
  /// The tensors as they are in the files.
  let base: SafetensorsStore
  /// The tensors that are made, by their names.
  let scaled: [String: any ScaledTensor]
  /// The name of the codes' type.
  let codeName: String
  /// The folder, for errors.
  let path: String

  var weightFileNames: [String] { base.weightFileNames }

  func bytes(of asset: Asset) throws -> TensorBytes { try base.bytes(of: asset) }

  func bytes(of tensor: TensorInfo) throws -> TensorBytes {
    guard let scaled = scaled[tensor.name] else { return try base.bytes(of: tensor) }
    return try scaled.part(0..<tensor.elementCount, from: base, path: path).bytes
  }

  func part(
    of tensor: TensorInfo, _ elements: Range<Int>
  ) throws -> (start: Int, bytes: TensorBytes)? {
    guard let scaled = scaled[tensor.name], scaled.hasParts else { return nil }
    return try scaled.part(elements, from: base, path: path)
  }

  func storedForm(of tensor: TensorInfo) -> StoredForm? {
    scaled[tensor.name].map { StoredForm(type: codeName, byteCount: $0.byteCount) }
  }
}
