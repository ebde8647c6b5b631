import Checkpoints

/// The parts of a `tokenizer.json`, checked.
struct TokenizerFile {
  let model: BytePairModel
  /// The added tokens, in the order of the file; ids and contents are unique.
  let addedTokens: [AddedToken]
  /// Whether text is converted to normalization form C.
  let isNFC: Bool
  let preTokenizer: PreTokenizer
  /// The tokens before a single text when special tokens are wanted.
  let prefixTokens: [Int32]

  /// Reads and checks a document.
  ///
  /// - Throws: `FormatError`.
  init(_ json: JSONValue, path: String) throws {
    let root = try TokenizerComponent(json, path: path, place: "the document")
    try root.allow([
      "version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor",
      "decoder", "model",
    ])
    guard try root.string("version", default: "1.0") == "1.0" else {
      throw root.unsupported("a version other than 1.0")
    }
    isNFC = try Self.isNFC(root.component("normalizer"))
    preTokenizer = try PreTokenizer(root)
    try Self.checkDecoder(root.component("decoder"), root)
    model = try BytePairModel(root.require("model"))
    addedTokens = try AddedToken.readAll(root, model.vocabulary)
    prefixTokens = try PostProcessor.prefixTokens(
      root.component("post_processor"),
      idBound: max(model.vocabulary.idBound, 1 + Int(addedTokens.map(\.id).max() ?? -1)))
  }

  private static func isNFC(_ normalizer: TokenizerComponent?) throws -> Bool {
    guard let normalizer else { return false }
    switch try normalizer.type() {
    case "NFC":
      try normalizer.allow(["type"])
      return true
    case "Sequence":
      try normalizer.allow(["type", "normalizers"])
      return try normalizer.components("normalizers").map(isNFC).contains(true)
    case let type: throw normalizer.unsupported("'\(type)'")
    }
  }

  private static func checkDecoder(_ decoder: TokenizerComponent?, _ root: TokenizerComponent) throws {
    guard let decoder else { throw root.unsupported("a tokenizer without a ByteLevel decoder") }
    switch try decoder.type() {
    case "ByteLevel": try decoder.checkByteLevel()
    case "Sequence":
      try decoder.allow(["type", "decoders"])
      let parts = try decoder.components("decoders")
      guard parts.count == 1 else { throw decoder.unsupported("a Sequence of \(parts.count) decoders") }
      try checkDecoder(parts[0], root)
    case let type: throw decoder.unsupported("'\(type)'")
    }
  }
}

/// The tokens that the post-processor adds; a caller can add them.
private enum PostProcessor {
  static func prefixTokens(_ processor: TokenizerComponent?, idBound: Int) throws -> [Int32] {
    guard let processor else { return [] }
    switch try processor.type() {
    case "ByteLevel":
      try processor.checkByteLevel()
      return []
    case "Sequence":
      try processor.allow(["type", "processors"])
      return try processor.components("processors").flatMap { try prefixTokens($0, idBound: idBound) }
    case "TemplateProcessing":
      try processor.allow(["type", "single", "pair", "special_tokens"])
      return try templatePrefix(processor, idBound: idBound)
    case let type: throw processor.unsupported("'\(type)'")
    }
  }

  private static func templatePrefix(_ template: TokenizerComponent, idBound: Int) throws -> [Int32] {
    let specialTokens = try template.require("special_tokens")
    var prefix: [Int32] = []
    for item in try template.components("single") {
      guard let special = try item.component("SpecialToken") else { break }
      let entry = try specialTokens.require(try special.string("id"))
      for id in try entry.integers("ids") {
        guard (0..<idBound).contains(id) else {
          throw entry.malformed("token \(id) is not in the vocabulary")
        }
        prefix.append(Int32(id))
      }
    }
    return prefix
  }
}
