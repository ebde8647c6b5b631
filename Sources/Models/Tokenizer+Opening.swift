public import Checkpoints

extension Tokenizer {
  private static let fileName = "tokenizer.json"

  /// Reads the tokenizer of a checkpoint: `tokenizer.json`, otherwise `tokenizer.model`.
  ///
  /// - Throws: `FormatError` when both are missing, or the tokenizer is malformed or not supported.
  public convenience init(of checkpoint: Checkpoint) throws {
    if let pieces = try SentencePieceFile(of: checkpoint) {
      try self.init(pieces, pieces.settings(of: checkpoint))
      return
    }
    let path = Self.path(in: checkpoint)
    let contents = try Self.document(of: checkpoint)
    try self.init(parsing: unsafe contents.span.bytes, path: path)
  }

  private static func document(of checkpoint: Checkpoint) throws -> [UInt8] {
    if let bytes = try checkpoint.asset(named: fileName) {
      return bytes.withSpan { $0.copiedBytes() }
    }
    if let kept = try GGUFKeptTokenizer(of: checkpoint) { return try kept.document() }
    throw FormatError(checkpoint.path, .missing(fileName))
  }

  /// Reads the tokenizer at a path; if a folder has a `tokenizer.json`, nothing else in it is read.
  ///
  /// - Parameters:
  ///   - path: A folder with a `tokenizer.json` or a `tokenizer.model`, such a file itself, or a checkpoint.
  ///   - access: Whether the files of a checkpoint are mapped or read.
  /// - Throws: `FormatError` when the tokenizer is missing, malformed or not supported.
  public convenience init(openedAt path: String, access: FileAccess = .mapped) throws {
    switch try FileSystem.kind(of: path) {
    case .folder:
      let names = try FileSystem.names(in: path)
      if names.contains(Self.fileName) {
        try self.init(contentsOf: FileSystem.pathInside(path, Self.fileName))
        return
      }
      if names.contains(SentencePieceFile.fileName) {
        let pieces = try SentencePieceFile(
          contentsOf: FileSystem.pathInside(path, SentencePieceFile.fileName))
        try self.init(pieces, pieces.settings(inFolder: path))
        return
      }
      guard names.contains(GGUFKeptTokenizer.fileName) else {
        throw FormatError(path, .missing(Self.fileName))
      }
    case .file where FileSystem.fileExtension(path) == "json":
      try self.init(contentsOf: path)
      return
    case .file where FileSystem.fileExtension(path) == "model":
      let bytes = try InputFile.contents(of: path)
      try self.init(parsingSentencePiece: unsafe bytes.span.bytes, path: path)
      return
    default: break
    }
    try self.init(of: Checkpoint.open(path: path, access: access))
  }

  /// Reads the bytes of a SentencePiece model without any settings beside it.
  ///
  /// - Throws: `FormatError` with the byte or the piece.
  public convenience init(parsingSentencePiece bytes: RawSpan, path: String) throws {
    let pieces = try SentencePieceFile(parsing: bytes, path: path)
    try self.init(pieces, pieces.settingsOfBareModel())
  }

  /// Returns the path of a checkpoint's tokenizer, as errors name it.
  package static func path(in checkpoint: Checkpoint) -> String {
    let names = checkpoint.contents.assets.map(\.name)
    let isModel = !names.contains(fileName) && names.contains(SentencePieceFile.fileName)
    return FileSystem.join(checkpoint.path, isModel ? SentencePieceFile.fileName : fileName)
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
