/// Decoding of tokens to text.
extension Tokenizer {
  /// Returns the text of tokens; bytes that are not UTF-8 become U+FFFD; ids without a token are skipped.
  ///
  /// - Parameters:
  ///   - ids: Token ids.
  ///   - skipSpecialTokens: Whether to leave out the special tokens, except those that the normalizer changes:
  ///     `tokenizers` takes them for others.
  /// - Returns: The text.
  public func decode(_ ids: [Int32], skipSpecialTokens: Bool = false) -> String {
    String(decoding: bytes(of: ids, skipSpecialTokens, keepsBytes: false), as: UTF8.self)
  }

  /// Returns the bytes of tokens, which can begin or end inside a character.
  ///
  /// - Parameters:
  ///   - ids: Token ids; ids without a token are skipped.
  ///   - skipSpecialTokens: As in `decode`.
  /// - Returns: The bytes, one token after the other.
  public func decodeBytes(_ ids: [Int32], skipSpecialTokens: Bool = false) -> [UInt8] {
    bytes(of: ids, skipSpecialTokens, keepsBytes: true)
  }

  private func bytes(of ids: [Int32], _ skipSpecialTokens: Bool, keepsBytes: Bool) -> [UInt8] {
    var assembler = TextAssembler(decoder, keepsBytes: keepsBytes)
    var bytes: [UInt8] = []
    for id in ids where !(skipSpecialTokens && isSpecial(id) && !changedTokens.contains(id)) {
      append(id, assembling: &assembler, &bytes)
    }
    assembler.finish(&bytes)
    return bytes
  }

  /// Appends the bytes that a token completes.
  ///
  /// - Parameters:
  ///   - id: An id without a token adds nothing.
  ///   - assembler: Has the tokens before.
  ///   - bytes: UTF-8, except that the tokens of a byte-level tokenizer can end inside a character.
  func append(_ id: Int32, assembling assembler: inout TextAssembler, _ bytes: inout [UInt8]) {
    if decoder.isByteLevel {
      bytes += decodedTokens[Int(id)]
    } else if isToken(id) {
      assembler.append(Array(decodedTokens[Int(id)]), to: &bytes)
    }
  }

  private func isToken(_ id: Int32) -> Bool {
    addedTokens[id] != nil || model.vocabulary.text(of: Int(id)) != nil
  }

  /// Returns a token as `tokenizer.json` writes it (`Ġthe`), or nil if no token has the id.
  public func token(_ id: Int32) -> String? {
    if let added = addedTokens[id] { return String(decoding: added.content, as: UTF8.self) }
    return model.vocabulary.text(of: Int(id)).map { String(decoding: $0, as: UTF8.self) }
  }

  /// Returns the id of a token as `tokenizer.json` writes it, or nil if there is none.
  public func id(of token: String) -> Int32? {
    let text = Array(token.utf8)
    return model.vocabulary.id(of: text.span) ?? addedTokens.values.first { $0.content == text }?.id
  }

  /// Whether a token only marks the structure of a text.
  public func isSpecial(_ id: Int32) -> Bool { addedTokens[id]?.isSpecial ?? false }
}

/// The bytes that each token represents, in one array.
struct DecodedTokens: Sendable {
  private var bytes: [UInt8] = []
  private var ends: [Int] = [0]

  /// Decodes all tokens.
  ///
  /// An added token stands for its text as it is matched. In a byte-level tokenizer, a token with a scalar outside the byte alphabet represents its own text; in
  /// others, every token does.
  ///
  /// - Parameters:
  ///   - vocabulary: The tokens of the model.
  ///   - addedTexts: The texts of the added tokens.
  ///   - isByteLevel: Whether tokens are written in the byte alphabet.
  ///   - idBound: The largest id plus 1.
  init(_ vocabulary: Vocabulary, _ addedTexts: [Int32: [UInt8]], isByteLevel: Bool, idBound: Int) {
    for id in 0..<idBound {
      let text = addedTexts[Int32(id)].map { $0[...] } ?? vocabulary.text(of: id) ?? []
      let decoded = isByteLevel ? ByteAlphabet.bytes(of: text.span) : nil
      bytes.append(contentsOf: decoded.map { $0[...] } ?? text)
      ends.append(bytes.count)
    }
  }

  /// Returns the bytes of a token; none for an id without a token.
  subscript(id: Int) -> ArraySlice<UInt8> {
    guard id >= 0, id + 1 < ends.count else { return [] }
    return bytes[ends[id]..<ends[id + 1]]
  }
}
