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
  package let byteCount: Int

  /// Counts the entries of the tokenizer that travels with a checkpoint; nil when there is none.
  ///
  /// - Throws: `FormatError` when it is not JSON.
  package init?(of checkpoint: Checkpoint) throws {
    guard let bytes = try checkpoint.asset(named: "tokenizer.json") else { return nil }
    byteCount = bytes.count
    do {
      let counted = try bytes.withSpan { text throws(JSONError) in try Counts(text) }
      (model, vocabularySize, mergeCount, addedTokenCount) =
        (counted.model, counted.vocabulary, counted.merges, counted.addedTokens)
    } catch {
      throw FormatError(
        checkpoint.path + "/tokenizer.json", byte: error.byteOffset, .malformed(error.reason))
    }
  }

  /// The tokenizer in a sentence.
  package var text: String {
    var parts = ["\(model) of \(vocabularySize.formattedCount) tokens"]
    if mergeCount > 0 { parts.append("\(mergeCount.formattedCount) merges") }
    if addedTokenCount > 0 { parts.append("\(addedTokenCount) added tokens") }
    return parts.joined(separator: ", ")
  }

  /// The summary as a document.
  package var json: JSONValue {
    .object([
      JSONValue.Member("model", .string(model)),
      JSONValue.Member("vocabulary_size", .integer(vocabularySize)),
      JSONValue.Member("merges", .integer(mergeCount)),
      JSONValue.Member("added_tokens", .integer(addedTokenCount)),
      JSONValue.Member("bytes", .integer(byteCount)),
    ])
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
