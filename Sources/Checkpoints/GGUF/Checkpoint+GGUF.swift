extension Checkpoint {
  /// Opens a GGUF file as the Hugging Face checkpoint that it was made from.
  ///
  /// Reads only the header, and vectors to find the dtype that holds them. `config.json` and the files of the
  /// tokenizer are made from the metadata.
  ///
  /// - Parameters:
  ///   - path: A file.
  ///   - access: Whether it is mapped or read.
  /// - Returns: The checkpoint.
  /// - Throws: `FormatError` when the file is malformed or its model is of an unsupported kind. An
  ///   unsupported tokenizer is not an error; it is kept as the asset `GGUFKeptTokenizer.fileName`.
  package static func openGGUF(path: String, access: FileAccess = .mapped) throws -> Checkpoint {
    try openGGUF(InputFile(path: path, access: access))
  }

  /// Reads a GGUF file that is mapped or in memory.
  ///
  /// - Throws: `FormatError` when the file is malformed or its model is of an unsupported kind.
  package static func openGGUF(_ file: InputFile) throws -> Checkpoint {
    let path = file.path
    let header = try GGUFHeader(of: file)
    let keys = GGUFKeys(metadata: header.metadata, path: path)
    let configuration = try GGUFConfiguration(keys, header.entries, divisors: divisors(header, file))
    let plan = try GGUFPlan(header, keys, configuration, file: file)
    var files = [("config.json", Array(configuration.json.prettyText.utf8))]
    let tokenizer = try GGUFTokenizer.files(keys, vocabularySize: configuration.vocabularySize)
    files += tokenizer.files
    files.sort { precedes($0.0, $1.0) }
    var contents = CheckpointContents(
      tensors: plan.tensors, quantization: plan.quantization,
      assets: files.map { Asset(name: $0.0, byteCount: $0.1.count) }, metadata: try keys.checkpointMetadata())
    contents.notices = plan.notices
    if let refusal = tokenizer.refusal {
      contents.notices.append(
        "the tokenizer is kept as it is, and no text can be read with it: \(refusal.reason)")
    }
    let store = GGUFStore(
      file, sources: plan.sources,
      assets: Dictionary(files.map { ($0.0, TensorBytes($0.1)) }, uniquingKeysWith: { first, _ in first }))
    return Checkpoint(path: path, format: .gguf, contents: contents, store: store)
  }

  /// Whether a path is a file that begins like a GGUF file, perhaps a damaged one.
  package static func isGGUF(path: String) throws -> Bool {
    guard case .file(let byteCount) = try FileSystem.kind(of: path), byteCount >= 4 else { return false }
    return try InputFile(path: path, access: .read).withBytes(in: 0..<4) { $0.starts(with: GGUFHeader.magic) }
  }

  /// The values of the tensors that stand for the scaling of the wavelengths, by their names.
  private static func divisors(
    _ header: GGUFHeader, _ file: InputFile
  ) throws(FormatError) -> [String: [Float]] {
    var divisors: [String: [Float]] = [:]
    for entry in header.entries where GGUFTensorNames.rotary.contains(entry.name) {
      guard entry.type == .f32, entry.shape.count == 1 else {
        throw FormatError(
          file.path, byte: entry.range.lowerBound, at: "tensor '\(entry.name)'",
          .malformed("is \(entry.type.name) \(entry.shape), not F32 of one dimension"))
      }
      var values = [Float](repeating: 0, count: entry.elementCount)
      var span = values.mutableSpan
      try file.withBytes(in: entry.range) { entry.type.decode($0, into: &span) }
      divisors[entry.name] = values
    }
    return divisors
  }
}

extension GGUFKeys {
  /// The key that holds the metadata of a checkpoint that was written as GGUF.
  static let checkpointMetadataKey = "rilq.metadata"
  /// Keys that describe the layout of the file, not the model.
  private static let layoutKeys: Set = [GGUFHeader.alignmentKey, "general.quantization_version"]
  private static let shownTokenizerKeys: Set = ["tokenizer.ggml.model", "tokenizer.ggml.pre"]

  /// The metadata of the checkpoint: those that our own writer kept, otherwise all keys with no other use.
  func checkpointMetadata() throws(FormatError) -> JSONValue {
    if let text = try string(Self.checkpointMetadataKey) {
      let json = try json(Self.checkpointMetadataKey, text)
      guard json.object != nil else {
        throw error(Self.checkpointMetadataKey, .malformed("is not an object"))
      }
      return json
    }
    return .object(
      metadata.keys.compactMap { key in
        guard isShown(key), let value = metadata[key] else { return nil }
        return JSONValue.Member(key, value.json)
      })
  }

  private func isShown(_ key: String) -> Bool {
    if Self.shownTokenizerKeys.contains(key) { return true }
    let hidden = ["tokenizer.", "rilq."] + ModelFamily.all.map { $0.ggufArchitecture + "." }
    return !Self.layoutKeys.contains(key) && !hidden.contains { key.hasPrefix($0) }
  }
}

extension GGUFValue {
  /// The value as JSON; numbers that JSON cannot write become `null`.
  fileprivate var json: JSONValue {
    switch self {
    case .bool(let value): .bool(value)
    case .string(let text): .string(text)
    case .array(_, let values): .array(values.map(\.json))
    case .float32(let value): value.isFinite ? .number(value.description) : .null
    case .float64(let value): .double(value)
    case .uint64(let value): .number(String(value))
    case .uint8, .int8, .uint16, .int16, .uint32, .int32, .int64: .integer(integer ?? 0)
    }
  }
}
