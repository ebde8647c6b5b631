package import Checkpoints

/// What a `tokenizer.json` is, without its vocabulary being read.
package struct TokenizerSummary: Sendable, Equatable {
  /// The kind of model: `BPE`, `Unigram`, `WordPiece`.
  package private(set) var model = "unknown"
  /// The tokens of the model, without the added ones.
  package private(set) var vocabularySize = 0
  /// The merges of the model.
  package private(set) var mergeCount = 0
  /// The added tokens, special ones among them.
  package private(set) var addedTokenCount = 0
  /// The size of the file.
  package private(set) var byteCount = 0
  /// Why text cannot be read with it, as far as that was noticed.
  package private(set) var problem: String?

  private static let fileName = "tokenizer.json"
  /// The files that hold a tokenizer; the first one that is there counts.
  private static let fileNames = [fileName, GGUFKeptTokenizer.fileName]

  /// Counts the entries of the tokenizer that travels with a checkpoint; nil when there is none.
  ///
  /// A tokenizer that is broken is described as such.
  package init?(of checkpoint: Checkpoint) {
    let assets = Self.fileNames.lazy.compactMap { name in
      checkpoint.contents.assets.first { $0.name == name }
    }
    guard let asset = assets.first else { return nil }
    byteCount = asset.byteCount
    do {
      if let kept = try GGUFKeptTokenizer(of: checkpoint) {
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

  /// The tokenizer in a sentence.
  package var text: String {
    if vocabularySize == 0, let problem { return "is not read: \(problem)" }
    var parts = ["\(model) of \(vocabularySize.formattedCount) tokens"]
    if mergeCount > 0 { parts.append("\(mergeCount.formattedCount) merges") }
    if addedTokenCount > 0 { parts.append("\(addedTokenCount) added tokens") }
    if let problem { parts.append("is not read: \(problem)") }
    return parts.joined(separator: ", ")
  }

  /// The summary as a document.
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

/// The counts, taken in one pass over the text.
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
