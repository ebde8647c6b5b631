/// Opening the model of a checkpoint or of a folder.
extension SentencePieceFile {
  private static let configurationName = "tokenizer_config.json"
  private static let addedTokensName = "added_tokens.json"

  /// Reads the model of a checkpoint; nil when there is none, or also a `tokenizer.json`.
  ///
  /// - Throws: `FormatError`.
  package init?(of checkpoint: Checkpoint) throws {
    guard !checkpoint.contents.assets.contains(where: { $0.name == "tokenizer.json" }),
      let bytes = try checkpoint.asset(named: Self.fileName)
    else { return nil }
    let path = FileSystem.join(checkpoint.path, Self.fileName)
    self = try bytes.withSpan { span throws(FormatError) in try Self(parsing: span, path: path) }
  }

  /// Reads a file.
  ///
  /// - Throws: `FormatError`.
  package init(contentsOf path: String) throws {
    let bytes = try InputFile.contents(of: path)
    self = try Self(parsing: unsafe bytes.span.bytes, path: path)
  }

  /// Reads the settings beside the model of a checkpoint.
  ///
  /// - Throws: `FormatError`.
  package func settings(of checkpoint: Checkpoint) throws -> SentencePieceSettings {
    try SentencePieceSettings(
      self, configuration: checkpoint.json(named: Self.configurationName),
      addedTokens: checkpoint.json(named: Self.addedTokensName), folder: checkpoint.path)
  }

  /// Reads the settings in a folder.
  ///
  /// - Throws: `FormatError`.
  package func settings(inFolder folder: String) throws -> SentencePieceSettings {
    let names = try FileSystem.names(in: folder)
    func json(_ name: String) throws -> JSONValue? {
      guard names.contains(name) else { return nil }
      return try JSONValue(contentsOf: FileSystem.pathInside(folder, name))
    }
    return try SentencePieceSettings(
      self, configuration: json(Self.configurationName), addedTokens: json(Self.addedTokensName),
      folder: folder)
  }

  /// The settings of a model without any files beside it.
  ///
  /// - Throws: `FormatError`.
  package func settingsOfBareModel() throws(FormatError) -> SentencePieceSettings {
    try SentencePieceSettings(self, configuration: nil, addedTokens: nil, folder: path)
  }
}
