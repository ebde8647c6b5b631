/// Decoding of tokens to text.
extension Tokenizer {
  /// Returns the text of tokens; bytes that are not UTF-8 become U+FFFD; ids without a token are skipped.
  ///
  /// - Parameters:
  ///   - ids: Token ids.
  ///   - skipSpecialTokens: Whether to leave out the special tokens.
  /// - Returns: The text.
  public func decode(_ ids: [Int32], skipSpecialTokens: Bool = false) -> String {
    String(decoding: decodeBytes(ids, skipSpecialTokens: skipSpecialTokens), as: UTF8.self)
  }

  /// Returns the bytes of tokens, which can begin or end inside a character.
  ///
  /// - Parameters:
  ///   - ids: Token ids; ids without a token are skipped.
  ///   - skipSpecialTokens: Whether to leave out the special tokens.
  /// - Returns: The bytes, one token after the other.
  public func decodeBytes(_ ids: [Int32], skipSpecialTokens: Bool = false) -> [UInt8] {
    var bytes: [UInt8] = []
    for id in ids where !(skipSpecialTokens && isSpecial(id)) {
      bytes.append(contentsOf: decodedTokens[Int(id)])
    }
    return bytes
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
  /// A token with a scalar outside the byte alphabet represents its own text.
  init(_ vocabulary: Vocabulary, _ addedTokens: [Int32: AddedToken], idBound: Int) {
    for id in 0..<idBound {
      let text = addedTokens[Int32(id)].map { $0.content[...] } ?? vocabulary.text(of: id) ?? []
      bytes.append(contentsOf: ByteAlphabet.bytes(of: text.span).map { $0[...] } ?? text)
      ends.append(bytes.count)
    }
  }

  /// Returns the bytes of a token; none for an id without a token.
  subscript(id: Int) -> ArraySlice<UInt8> {
    guard id >= 0, id + 1 < ends.count else { return [] }
    return bytes[ends[id]..<ends[id + 1]]
  }
}
