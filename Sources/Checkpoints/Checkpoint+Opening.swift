extension Checkpoint {
  /// Opens whatever checkpoint is at a path; only headers and small JSON files are read.
  ///
  /// A folder is read as a Hugging Face folder; the kind of a file follows from its first bytes and its
  /// extension.
  ///
  /// - Parameters:
  ///   - path: The folder or file.
  ///   - access: Whether files are mapped or read into memory tensor by tensor.
  /// - Returns: The description, with access to the bytes.
  /// - Throws: `FormatError` when nothing is there, or it is malformed or of an unsupported kind.
  public static func open(path: String, access: FileAccess = .mapped) throws -> Checkpoint {
    switch try FileSystem.kind(of: path) {
    case .folder: return try SafetensorsFolder.open(path: path, access: access)
    case .file(let byteCount):
      try GitPointer.refuse(at: path, byteCount: byteCount)
      return try openFile(path: path, access)
    case .other: throw FormatError(path, .malformed("is neither a file nor a folder"))
    case nil: throw FormatError(path, .notFound("the file or folder"))
    }
  }

  private static func openFile(path: String, _ access: FileAccess) throws -> Checkpoint {
    let ending = FileSystem.fileExtension(path)
    // The first bytes count more than the name.
    if try isGGUF(path: path) { return try openGGUF(path: path, access: access) }
    if try ending == "rilq" || isContainer(path: path) {
      let checkpoint = try openContainer(path: path, access: access)
      try checkpoint.contents.validateQuantization(path: path)
      return checkpoint
    }
    if ending == "gguf" { return try openGGUF(path: path, access: access) }
    guard ending == "safetensors" else {
      if ["bin", "pth", "pt", "ckpt", "pkl"].contains(ending) {
        throw FormatError(
          path, .unsupported("is a pickle, which can run code; safetensors files are needed"))
      }
      throw FormatError(path, .unsupported("is not a kind of checkpoint that is read"))
    }
    var store = SafetensorsStore(path: path, access: access)
    try store.add(try SafetensorsFile(path: path, access: access))
    let contents = CheckpointContents(tensors: store.tensors)
    return Checkpoint(
      path: path, format: .safetensors, contents: contents, store: store, indexByName: store.positions)
  }
}
