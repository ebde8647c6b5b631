public import Checkpoints

extension Tokenizer {
  /// Reads the tokenizer of a checkpoint.
  ///
  /// - Throws: `FormatError` when `tokenizer.json` is missing, malformed or not supported.
  public convenience init(of checkpoint: Checkpoint) throws {
    let path = Self.path(in: checkpoint)
    let contents = try Self.document(of: checkpoint)
    try self.init(parsing: unsafe contents.span.bytes, path: path)
  }

  private static func document(of checkpoint: Checkpoint) throws -> [UInt8] {
    if let bytes = try checkpoint.asset(named: "tokenizer.json") {
      return bytes.withSpan { $0.copiedBytes() }
    }
    if let kept = try GGUFKeptTokenizer(of: checkpoint) { return try kept.document() }
    throw FormatError(checkpoint.path, .missing("tokenizer.json"))
  }

  /// Reads the tokenizer at a path; if a folder has a `tokenizer.json`, nothing else in it is read.
  ///
  /// - Parameters:
  ///   - path: A folder with a `tokenizer.json`, that file itself, or a checkpoint.
  ///   - access: Whether the files of a checkpoint are mapped or read.
  /// - Throws: `FormatError` when the tokenizer is missing, malformed or not supported.
  public convenience init(openedAt path: String, access: FileAccess = .mapped) throws {
    let fileName = "tokenizer.json"
    switch try FileSystem.kind(of: path) {
    case .folder:
      let names = try FileSystem.names(in: path)
      if names.contains(fileName) {
        try self.init(contentsOf: FileSystem.pathInside(path, fileName))
        return
      }
      guard names.contains(GGUFKeptTokenizer.fileName) else { throw FormatError(path, .missing(fileName)) }
    case .file where FileSystem.fileExtension(path) == "json":
      try self.init(contentsOf: path)
      return
    default: break
    }
    try self.init(of: Checkpoint.open(path: path, access: access))
  }

  /// Returns the path of a checkpoint's tokenizer, as errors name it.
  package static func path(in checkpoint: Checkpoint) -> String {
    FileSystem.join(checkpoint.path, "tokenizer.json")
  }

  /// Reads and encodes a text file.
  ///
  /// - Parameter path: A UTF-8 file.
  /// - Returns: The tokens, without special tokens around them.
  /// - Throws: `FormatError` when the file cannot be read, or with the offset of the first byte that is not
  ///   UTF-8.
  public func encode(contentsOf path: String) throws -> [Int32] {
    try encode(InputFile.contents(of: path), path: path)
  }
}
