package import Checkpoints
import Models

/// The summary of a tokenizer; that of a `tokenizer.json` is made without its vocabulary.
package struct TokenizerSummary: Sendable, Equatable {
  /// The kind of model: `BPE`, `Unigram`, `WordPiece`, `SentencePiece BPE`.
  package private(set) var model = "unknown"
  /// The number of tokens of the model, without added tokens.
  package private(set) var vocabularySize = 0
  /// The number of merges of the model.
  package private(set) var mergeCount = 0
  /// The number of added tokens, including special ones.
  package private(set) var addedTokenCount = 0
  /// The size of the file in bytes.
  package private(set) var byteCount = 0
  /// The reason why the tokenizer cannot be used, if one was found.
  package private(set) var problem: String?

  private static let fileName = "tokenizer.json"
  /// The files that can hold a tokenizer; the first one present is used.
  private static let fileNames = [fileName, SentencePieceFile.fileName, GGUFKeptTokenizer.fileName]

  /// Counts the entries of a checkpoint's tokenizer; nil when there is none.
  ///
  /// A broken tokenizer is described by its `problem`.
  package init?(of checkpoint: Checkpoint) {
    let assets = Self.fileNames.lazy.compactMap { name in
      checkpoint.contents.assets.first { $0.name == name }
    }
    guard let asset = assets.first else { return nil }
    byteCount = asset.byteCount
    do {
      if let pieces = try SentencePieceFile(of: checkpoint) {
        model = "SentencePiece " + (pieces.method == .unigram ? "unigram" : "BPE")
        vocabularySize = pieces.pieces.count
        addedTokenCount = try pieces.settings(of: checkpoint).addedTokens.count
        _ = try Tokenizer(of: checkpoint)
      } else if let kept = try GGUFKeptTokenizer(of: checkpoint) {
        (model, vocabularySize, mergeCount) = (kept.model, kept.tokenCount, kept.mergeCount)
        _ = try kept.document()
      } else if let bytes = try checkpoint.asset(named: Self.fileName) {
        let counted = try bytes.withSpan { text throws(JSONError) in try Counts(text) }
        (model, vocabularySize, mergeCount, addedTokenCount) =
          (counted.model, counted.vocabulary, counted.merges, counted.addedTokens)
      }
    } catch let error as JSONError {
      problem = "byte \(error.byteOffset): \(error.reason)"
    } catch {
      problem = (error as? FormatError)?.reason ?? "\(error)"
    }
  }

  /// The tokenizer as one sentence.
  package var text: String {
    if vocabularySize == 0, let problem { return "is not read: \(problem)" }
    var parts = ["\(model) of \(vocabularySize.formattedCount) tokens"]
    if mergeCount > 0 { parts.append("\(mergeCount.formattedCount) merges") }
    if addedTokenCount > 0 { parts.append("\(addedTokenCount) added tokens") }
    if let problem { parts.append("is not read: \(problem)") }
    return parts.joined(separator: ", ")
  }

  /// The summary as JSON.
  package var json: JSONValue {
    let counts = [
      JSONValue.Member("model", .string(model)),
      JSONValue.Member("vocabulary_size", .integer(vocabularySize)),
      JSONValue.Member("merges", .integer(mergeCount)),
      JSONValue.Member("added_tokens", .integer(addedTokenCount)),
      JSONValue.Member("bytes", .integer(byteCount)),
    ]
    return .object(counts + (problem.map { [JSONValue.Member("problem", .string($0))] } ?? []))
  }
}

/// The counts from one pass over the text.
private struct Counts {
  var model = "unknown"
  var vocabulary = 0
  var merges = 0
  var addedTokens = 0

  init(_ text: RawSpan) throws(JSONError) {
    var reader = JSONReader(byteCount: text.byteCount)
    try reader.readMembers(text) { (reader, key, _) throws(JSONError) in
      switch key {
      case "added_tokens": addedTokens = try reader.skipValue(text)
      case "model": try readModel(&reader, text)
      default: _ = try reader.skipValue(text)
      }
    }
    try reader.readEnd(text)
  }

  private mutating func readModel(_ reader: inout JSONReader, _ text: RawSpan) throws(JSONError) {
    try reader.readMembers(text) { (reader, key, _) throws(JSONError) in
      switch key {
      case "type": model = try reader.readString(text)
      case "vocab": vocabulary = try reader.skipValue(text)
      case "merges": merges = try reader.skipValue(text)
      default: _ = try reader.skipValue(text)
      }
    }
  }
}
