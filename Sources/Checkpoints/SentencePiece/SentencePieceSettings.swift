/// What the files beside a SentencePiece model say about its tokens.
package struct SentencePieceSettings: Sendable {
  /// A token that is found in a text before the text is cut into pieces.
  package struct AddedToken: Sendable, Equatable {
    /// Its id, which can be that of a piece.
    package let id: Int
    /// Its text, not empty.
    package let content: String
    /// Whether it only marks the structure of a text.
    package fileprivate(set) var isSpecial: Bool
    /// Whether white space before it is part of it.
    package let stripsLeft: Bool
    /// Whether white space after it is part of it.
    package let stripsRight: Bool
    /// Whether it counts only where no word character is beside it.
    package let isSingleWord: Bool
  }

  /// The added tokens, by their ids; ids and contents are unique.
  package let addedTokens: [AddedToken]
  /// The token that begins a text.
  package let beginID: Int?
  /// The token that ends a text.
  package let endID: Int?
  /// The token that fills rows.
  package let paddingID: Int?
  /// Whether a text that is generated begins with `beginID`.
  package let addsBegin: Bool
  /// Whether a text ends with `endID`.
  package let addsEnd: Bool
  /// Whether the space that the model puts first is wanted.
  package let addsDummyPrefix: Bool
  /// Whether also the texts after added tokens get that space; otherwise only the text at the beginning.
  package let prefixesEveryText: Bool

  /// Reads the settings.
  ///
  /// - Parameters:
  ///   - file: The model.
  ///   - configuration: `tokenizer_config.json`, or nil without one.
  ///   - addedTokens: `added_tokens.json`, or nil without one; used if the configuration has no
  ///     `added_tokens_decoder`.
  ///   - folder: The folder, for errors.
  /// - Throws: `FormatError` with the file and the key.
  package init(
    _ file: SentencePieceFile, configuration: JSONValue?, addedTokens: JSONValue?, folder: String
  ) throws(FormatError) {
    let reader = SettingsReader(file, path: FileSystem.join(folder, "tokenizer_config.json"))
    let keys = configuration ?? .object([])
    guard keys.object != nil else { throw FormatError(reader.path, .malformed("is not an object")) }
    var tokens = AddedTokenList()
    if let list = keys["added_tokens_decoder"], !list.isNull {
      try reader.readDecoder(list, into: &tokens)
    } else if let addedTokens {
      try SettingsReader(file, path: FileSystem.join(folder, "added_tokens.json"))
        .readAddedTokens(addedTokens, into: &tokens)
    }
    try reader.readNamedTokens(keys, into: &tokens)
    self.addedTokens = tokens.byID
    func id(_ key: String, _ ownID: Int?) -> Int? {
      guard let text = reader.text(keys[key]) else { return keys[key] == nil ? ownID : nil }
      return tokens.id(of: text) ?? ownID
    }
    (beginID, endID) = (id("bos_token", file.beginID), id("eos_token", file.endID))
    paddingID = id("pad_token", file.paddingID)
    // Unigram models of this kind have no begin token in front, which is also what llama.cpp takes them for.
    addsBegin = try reader.bool(keys, "add_bos_token") ?? (file.method == .bytePair) && beginID != nil
    addsEnd = try reader.bool(keys, "add_eos_token") ?? false && endID != nil
    addsDummyPrefix = try reader.bool(keys, "add_prefix_space") ?? true
    prefixesEveryText = try reader.bool(keys, "legacy") ?? true
  }
}

/// Added tokens with unique ids and contents.
private struct AddedTokenList {
  private var tokens: [Int: SentencePieceSettings.AddedToken] = [:]
  private var ids: [[UInt8]: Int] = [:]

  var byID: [SentencePieceSettings.AddedToken] { tokens.values.sorted { $0.id < $1.id } }

  func id(of content: String) -> Int? { ids[Array(content.utf8)] }

  /// Adds a token; returns whether both its id and its content are new.
  mutating func insert(_ token: SentencePieceSettings.AddedToken) -> Bool {
    guard tokens[token.id] == nil, ids.updateValue(token.id, forKey: Array(token.content.utf8)) == nil else {
      return false
    }
    tokens[token.id] = token
    return true
  }

  mutating func markSpecial(_ id: Int) { tokens[id]?.isSpecial = true }
}

private struct SettingsReader {
  private static let namedTokens = ["bos", "eos", "unk", "pad", "sep", "cls", "mask"].map { $0 + "_token" }

  let path: String
  private let pieceIDs: [[UInt8]: Int]

  init(_ file: SentencePieceFile, path: String) {
    self.path = path
    pieceIDs = Dictionary(
      file.pieces.enumerated().map { (Array($1.text.utf8), $0) }, uniquingKeysWith: { first, _ in first })
  }

  private func error(_ key: String, _ problem: FormatError.Problem) -> FormatError {
    FormatError(path, at: "key '\(key)'", problem)
  }

  func bool(_ keys: JSONValue, _ key: String) throws(FormatError) -> Bool? {
    guard let value = keys[key], !value.isNull else { return nil }
    guard let bool = value.bool else { throw error(key, .malformed("is not true or false")) }
    return bool
  }

  /// The text of a token that is written as a text or as an object.
  func text(_ value: JSONValue?) -> String? {
    guard let text = value?.string ?? value?["content"]?.string, !text.isEmpty else { return nil }
    return text
  }

  private func token(
    _ id: Int, _ text: String, _ flags: JSONValue, isSpecial: Bool
  ) -> SentencePieceSettings.AddedToken {
    SentencePieceSettings.AddedToken(
      id: id, content: text, isSpecial: isSpecial, stripsLeft: flags["lstrip"]?.bool ?? false,
      stripsRight: flags["rstrip"]?.bool ?? false, isSingleWord: flags["single_word"]?.bool ?? false)
  }

  private func checked(_ id: Int?, _ key: String, _ name: String) throws(FormatError) -> Int {
    guard let id, (0..<SentencePiece.countLimit).contains(id) else {
      throw error(key, .malformed("'\(name)' is not the id of a token"))
    }
    return id
  }

  /// Reads `added_tokens_decoder`: `{"0": {"content": "<unk>", "special": true, …}, …}`.
  func readDecoder(_ list: JSONValue, into tokens: inout AddedTokenList) throws(FormatError) {
    let key = "added_tokens_decoder"
    guard let members = list.object else { throw error(key, .malformed("is not an object")) }
    for member in members {
      let id = try checked(Int(member.key), key, member.key)
      guard let text = text(member.value) else {
        throw error(key, .malformed("token \(id) has no text 'content'"))
      }
      let isSpecial = member.value["special"]?.bool ?? false
      guard tokens.insert(token(id, text, member.value, isSpecial: isSpecial)) else {
        throw error(key, .malformed("token \(id), '\(text)', is there twice"))
      }
    }
  }

  /// Reads `added_tokens.json`: `{"<pad>": 32000, …}`.
  func readAddedTokens(_ list: JSONValue, into tokens: inout AddedTokenList) throws(FormatError) {
    guard let members = list.object else { throw FormatError(path, .malformed("is not an object")) }
    for member in members where !member.key.isEmpty {
      let id = try checked(member.value.integer, member.key, member.value.compactText)
      guard tokens.insert(token(id, member.key, .null, isSpecial: false)) else {
        throw error(member.key, .malformed("token \(id) is there twice"))
      }
    }
  }

  /// Reads the tokens that have a role; those that no list has get the id of their piece.
  func readNamedTokens(_ keys: JSONValue, into tokens: inout AddedTokenList) throws(FormatError) {
    let named = Self.namedTokens.compactMap { keys[$0] } + (keys["additional_special_tokens"]?.array ?? [])
    for value in named {
      guard let text = text(value) else { continue }
      if let id = tokens.id(of: text) {
        tokens.markSpecial(id)
      } else if let id = pieceIDs[Array(text.utf8)] {
        _ = tokens.insert(token(id, text, value, isSpecial: true))
      }
    }
  }
}
