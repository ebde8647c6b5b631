/// A tokenizer of a GGUF file that this version does not understand, kept unchanged.
///
/// It travels with a checkpoint as the file `tokenizer.gguf`, a GGUF file without tensors like llama.cpp's
/// vocabulary files. Its metadata are the keys `tokenizer.…` of the original file.
package struct GGUFKeptTokenizer: Sendable {
  /// The name of the file.
  package static let fileName = "tokenizer.gguf"
  private static let prefix = "tokenizer."

  private let keys: GGUFKeys
  /// The size of the file.
  package let byteCount: Int

  /// Reads the file that travels with a checkpoint; nil when there is none, or also a `tokenizer.json`.
  ///
  /// - Throws: `FormatError` when it is malformed.
  package init?(of checkpoint: Checkpoint) throws {
    guard !checkpoint.contents.assets.contains(where: { $0.name == "tokenizer.json" }),
      let bytes = try checkpoint.asset(named: Self.fileName)
    else { return nil }
    // A GGUF file holds the keys itself.
    let path = checkpoint.format == .gguf ? checkpoint.path : FileSystem.join(checkpoint.path, Self.fileName)
    let header = try bytes.withSpan { span throws(FormatError) in
      try GGUFHeader(parsing: span, fileByteCount: span.byteCount, path: path)
    }
    guard let header else {
      throw FormatError(path, .truncated(needed: bytes.count + 1, available: bytes.count))
    }
    keys = GGUFKeys(metadata: header.metadata, path: path)
    byteCount = bytes.count
    for key in header.metadata.keys where !key.hasPrefix(Self.prefix) {
      throw keys.error(key, .malformed("is not a key of a tokenizer"))
    }
  }

  /// Makes the file from the metadata of a GGUF file.
  ///
  /// - Parameter keys: All its metadata.
  /// - Returns: The name and the contents.
  static func file(_ keys: GGUFKeys) -> (name: String, bytes: [UInt8]) {
    (fileName, GGUFWriterLayout(members(keys), []).headerBytes)
  }

  private static func members(_ keys: GGUFKeys) -> [GGUFExportMember] {
    keys.metadata.keys.filter { $0.hasPrefix(prefix) }
      .compactMap { key in keys.metadata[key].map { GGUFExportMember(key, $0) } }
  }

  /// Makes the `tokenizer.json`, if this version understands the tokenizer after all.
  ///
  /// - Throws: `FormatError` with the key that this version does not understand.
  package func document() throws -> [UInt8] {
    let files = try GGUFTokenizer(keys, vocabularySize: tokenCount)?.files ?? []
    guard let file = files.first(where: { $0.name == "tokenizer.json" }) else {
      throw FormatError(keys.path, .missing("key 'tokenizer.ggml.model'"))
    }
    return file.bytes
  }

  /// Its kind, as `tokenizer.ggml.model` names it.
  package var model: String { keys.metadata[Self.prefix + "ggml.model"]?.string ?? "unknown" }
  /// The number of tokens.
  package var tokenCount: Int { keys.metadata[Self.prefix + "ggml.tokens"]?.array?.count ?? 0 }
  /// The number of merges.
  package var mergeCount: Int { keys.metadata[Self.prefix + "ggml.merges"]?.array?.count ?? 0 }

  /// The metadata for a GGUF file, unchanged.
  ///
  /// - Parameter vocabularySize: The rows of the embedding.
  /// - Returns: The keys in their order.
  /// - Throws: `FormatError` when there are not as many tokens.
  package func export(vocabularySize: Int) throws -> GGUFExportTokenizer {
    guard tokenCount == vocabularySize else {
      throw keys.error(
        Self.prefix + "ggml.tokens", .malformed("\(tokenCount) tokens, the embedding has \(vocabularySize)"))
    }
    return GGUFExportTokenizer(members: Self.members(keys))
  }
}
