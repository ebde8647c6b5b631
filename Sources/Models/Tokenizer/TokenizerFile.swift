import Checkpoints

/// The parts of a `tokenizer.json`, checked.
struct TokenizerFile {
  let model: BytePairModel
  /// The added tokens, in the order of the file; ids and contents are unique.
  let addedTokens: [AddedToken]
  /// The added tokens that are matched in normalized text, as they are matched there.
  let normalizedTokens: [AddedToken]
  let normalizer: Normalizer
  let preTokenizer: PreTokenizer
  let decoder: TokenDecoder
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
    let normalizer = try Normalizer(root.component("normalizer"))
    self.normalizer = normalizer
    preTokenizer = try PreTokenizer(root.component("pre_tokenizer"))
    guard let decoder = try root.component("decoder") else {
      throw root.unsupported("a tokenizer without a decoder")
    }
    self.decoder = try TokenDecoder(decoder)
    model = try BytePairModel(root.require("model"), isByteLevel: preTokenizer.endsInBytes)
    addedTokens = try AddedToken.readAll(root, model.vocabulary)
    normalizedTokens = addedTokens.filter(\.isNormalized).map { $0.normalized(normalizer) }
    if let empty = normalizedTokens.first(where: \.content.isEmpty) {
      throw root.unsupported("added token \(empty.id), of which the normalizer leaves nothing,")
    }
    prefixTokens = try PostProcessor.prefixTokens(
      root.component("post_processor"),
      idBound: max(model.vocabulary.idBound, 1 + Int(addedTokens.map(\.id).max() ?? -1)))
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
