import Checkpoints

/// Reading the `model` of a `tokenizer.json`.
extension BytePairModel {
  /// More merges than any known tokenizer has; keeps ranks within 24 bits.
  private static let mergeLimit = 1 << 24

  /// Reads a BPE model.
  ///
  /// - Parameters:
  ///   - component: The `model` of a document.
  ///   - isByteLevel: Whether the pre-tokenizer makes bytes of the text.
  /// - Throws: `FormatError`.
  init(_ component: TokenizerComponent, isByteLevel: Bool) throws {
    try Self.checkOptions(component)
    let vocabulary = try Vocabulary(component)
    let fallsBack = try component.bool("byte_fallback", default: false)
    let byteTokens = (UInt8.min...UInt8.max).map { byte in
      let name = isByteLevel ? ByteAlphabet.text(of: [byte].span) : Self.name(ofByte: byte)
      return vocabulary.id(of: name.span)
    }
    if isByteLevel, fallsBack, byteTokens.contains(nil) {
      throw component.unsupported("byte_fallback after ByteLevel with a byte that has no token")
    }
    let unknownToken = try Self.readUnknownToken(component, vocabulary)
    let opaque = Set((byteTokens + [unknownToken]).compactMap(\.self))
    var joints = isByteLevel ? nil : MergeJoints()
    let merges = try Self.readMerges(component, vocabulary, opaque: opaque, &joints)
    self.init(
      vocabulary, merges, isByteLevel: isByteLevel, byteTokens: byteTokens,
      fallsBackToBytes: fallsBack && !isByteLevel, unknownToken: unknownToken,
      fusesUnknown: try component.bool("fuse_unk", default: false),
      ignoresMerges: try component.bool("ignore_merges", default: false),
      joints: joints)
  }

  /// The text of a byte's token in a model of characters.
  private static func name(ofByte byte: UInt8) -> [UInt8] {
    let digits = String(byte, radix: 16, uppercase: true)
    return Array("<0x\(byte < 16 ? "0" : "")\(digits)>".utf8)
  }

  private static func checkOptions(_ component: TokenizerComponent) throws {
    let type = try component.string("type", default: "BPE")  // GPT-2's file has no type.
    guard type == "BPE" else { throw component.unsupported("'\(type)'") }
    try component.allow([
      "type", "vocab", "merges", "unk_token", "fuse_unk", "byte_fallback", "ignore_merges", "dropout",
      "continuing_subword_prefix", "end_of_word_suffix",
    ])
    for key in ["continuing_subword_prefix", "end_of_word_suffix"]
    where try component.string(key, default: "") != "" {
      throw component.unsupported(key)
    }
    if let dropout = component.json["dropout"], !dropout.isNull, dropout.double != 0 {
      throw component.unsupported("dropout")
    }
  }

  private static func readUnknownToken(
    _ component: TokenizerComponent, _ vocabulary: Vocabulary
  ) throws -> Int32? {
    guard component.json["unk_token"]?.isNull == false else { return nil }
    let text = try component.string("unk_token")
    guard let id = vocabulary.id(of: Array(text.utf8).span) else {
      throw component.malformed("unk_token '\(text)' is not in the vocabulary")
    }
    return id
  }

  /// Reads the merges.
  ///
  /// - Parameters:
  ///   - component: The model.
  ///   - vocabulary: Its tokens.
  ///   - opaque: The tokens that do not stand for their own text, so that their merges join at any character.
  ///   - joints: Receives where merges join; nil after a merge of an opaque token.
  /// - Returns: The merges, in order of priority.
  /// - Throws: `FormatError` with the merge.
  private static func readMerges(
    _ component: TokenizerComponent, _ vocabulary: Vocabulary, opaque: Set<Int32>,
    _ joints: inout MergeJoints?
  ) throws -> MergeTable {
    let list = try component.array("merges")
    guard list.count < mergeLimit else { throw component.malformed("there are \(list.count) merges") }
    var merges = MergeTable(minimumCapacity: list.count)
    for (i, element) in list.enumerated() {
      guard let (left, right) = pair(element) else {
        throw component.malformed("merge \(i) is not a pair of tokens")
      }
      func id(_ text: [UInt8]) throws -> Int32 {
        if let id = vocabulary.id(of: text.span) { return id }
        let token = String(decoding: text, as: UTF8.self)
        throw component.malformed("merge \(i): token '\(token)' is not in the vocabulary")
      }
      let (first, second) = (try id(left), try id(right))
      if let same = try merges.append(first, second, makes: id(left + right)) {
        throw component.malformed("merge \(i) repeats merge \(same)")
      }
      if joints != nil, opaque.contains(first) || opaque.contains(second) { joints = nil }
      joints?.insert(between: left.span, right.span)
    }
    return merges
  }

  /// Returns the two texts of `["a", "b"]` or `"a b"`.
  private static func pair(_ element: JSONValue) -> ([UInt8], [UInt8])? {
    switch element {
    case .array(let parts):
      guard parts.count == 2, let left = parts[0].string, let right = parts[1].string else { return nil }
      return (Array(left.utf8), Array(right.utf8))
    case .string(let text):
      let parts = Array(text.utf8).split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
      return parts.count == 2 ? (Array(parts[0]), Array(parts[1])) : nil
    default: return nil
    }
  }
}

extension Vocabulary {
  /// Reads the `vocab` of a model.
  fileprivate init(_ component: TokenizerComponent) throws {
    self.init()
    let vocab = try component.require("vocab")
    for member in vocab.json.object ?? [] {
      guard let id = member.value.integer, (0..<Self.idLimit).contains(id) else {
        throw vocab.malformed("the number of '\(member.key)' is not an integer below \(Self.idLimit)")
      }
      guard !member.key.isEmpty else { throw vocab.malformed("token \(id) is empty") }
      guard insert(Array(member.key.utf8).span, id: id) else {
        throw vocab.malformed("token \(id) is there twice")
      }
    }
    guard count > 0 else { throw vocab.malformed("there are no tokens") }
  }
}

/// Reading the `added_tokens` of a `tokenizer.json`.
extension AddedToken {
  /// Reads the tokens of a document.
  ///
  /// A token that is not in the model's vocabulary must have the id that `tokenizers` assigns: the size of
  /// the vocabulary, or one more than the largest id assigned so far.
  ///
  /// - Throws: `FormatError`.
  static func readAll(_ root: TokenizerComponent, _ vocabulary: Vocabulary) throws -> [AddedToken] {
    guard root.json["added_tokens"] != nil else { return [] }
    var tokens: [AddedToken] = []
    var contents: Set<[UInt8]> = []
    var largest = -1
    for component in try root.components("added_tokens") {
      let token = try AddedToken(component)
      guard contents.insert(token.content).inserted else { throw component.malformed("is there twice") }
      let known = vocabulary.id(of: token.content.span)
      let expected = known.map { Int($0) } ?? max(vocabulary.count, largest + 1)
      guard Int(token.id) == expected else {
        throw component.malformed("id is \(token.id), expected \(expected)")
      }
      guard known != nil || vocabulary.text(of: expected) == nil else {
        throw component.malformed("id \(expected) belongs to another token")
      }
      largest = max(largest, expected)
      tokens.append(token)
    }
    return tokens
  }

  private init(_ component: TokenizerComponent) throws {
    try component.allow(["id", "content", "special", "lstrip", "rstrip", "single_word", "normalized"])
    let id = try component.integer("id")
    guard (0..<Vocabulary.idLimit).contains(id) else { throw component.malformed("id is \(id)") }
    self.id = Int32(id)
    content = Array(try component.string("content").utf8)
    guard !content.isEmpty else { throw component.malformed("content is empty") }
    isSpecial = try component.bool("special")
    stripsLeft = try component.bool("lstrip")
    stripsRight = try component.bool("rstrip")
    isSingleWord = try component.bool("single_word")
    isNormalized = try component.bool("normalized")
  }
}
