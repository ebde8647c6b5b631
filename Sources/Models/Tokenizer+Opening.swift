public import Checkpoints

extension Tokenizer {
  /// Reads the tokenizer that travels with a checkpoint.
  ///
  /// - Throws: `FormatError` when `tokenizer.json` is missing, malformed or of a kind that is not supported.
  public convenience init(of checkpoint: Checkpoint) throws {
    guard let bytes = try checkpoint.asset(named: "tokenizer.json") else {
      throw FormatError(checkpoint.path, .missing("tokenizer.json"))
    }
    let path = Self.path(in: checkpoint)
    let contents = bytes.withSpan { $0.copiedBytes() }
    try self.init(parsing: unsafe contents.span.bytes, path: path)
  }

  /// The path of a checkpoint's tokenizer, as errors name it.
  package static func path(in checkpoint: Checkpoint) -> String { checkpoint.path + "/tokenizer.json" }

  /// Reads and encodes a text file.
  ///
  /// - Parameter path: A UTF-8 file.
  /// - Returns: The tokens, without special ones around them.
  /// - Throws: `FormatError` when it cannot be read or is not UTF-8, with the byte.
  public func encode(contentsOf path: String) throws -> [Int32] {
    try encode(InputFile.contents(of: path), path: path)
  }
}
