/// A BPE model: its vocabulary, its merges and its rules for what is not in the vocabulary.
///
/// Words are made of bytes, each a token by its character in `ByteAlphabet`, or of characters.
struct BytePairModel: Sendable {
  /// The tokens, without those that are only in `added_tokens`.
  let vocabulary: Vocabulary
  /// The merges.
  let merges: MergeTable
  /// Whether words are made of bytes.
  let isByteLevel: Bool
  /// The token of each byte; nil for a byte without one.
  ///
  /// In a model of characters, the tokens `<0x00>`…`<0xFF>`.
  let byteTokens: [Int32?]
  /// Whether a character that is not in the vocabulary becomes its bytes, if all of them have tokens.
  let fallsBackToBytes: Bool
  /// The token for what is not in the vocabulary; nil leaves it out.
  let unknownToken: Int32?
  /// Whether neighbouring unknown bytes or characters become one token.
  let fusesUnknown: Bool
  /// Whether a word that is itself a token is not built from merges.
  let ignoresMerges: Bool
  /// Where merges join the characters of words; nil when words must stay whole.
  let joints: MergeJoints?
  /// Whether every character becomes tokens without `unknownToken`.
  private let knowsEveryByte: Bool

  init(
    _ vocabulary: Vocabulary, _ merges: MergeTable, isByteLevel: Bool, byteTokens: [Int32?],
    fallsBackToBytes: Bool, unknownToken: Int32?, fusesUnknown: Bool, ignoresMerges: Bool,
    joints: MergeJoints?
  ) {
    self.vocabulary = vocabulary
    self.merges = merges
    self.isByteLevel = isByteLevel
    self.byteTokens = byteTokens
    self.fallsBackToBytes = fallsBackToBytes
    self.unknownToken = unknownToken
    self.fusesUnknown = fusesUnknown
    self.ignoresMerges = ignoresMerges
    knowsEveryByte = fallsBackToBytes && byteTokens.allSatisfy { $0 != nil }
    // Where unknown characters are left out, merges join what stands beside them.
    self.joints = unknownToken != nil || knowsEveryByte ? joints : nil
  }

  /// The model with `ignoresMerges` off.
  var followingMerges: BytePairModel {
    BytePairModel(
      vocabulary, merges, isByteLevel: isByteLevel, byteTokens: byteTokens,
      fallsBackToBytes: fallsBackToBytes,
      unknownToken: unknownToken, fusesUnknown: fusesUnknown, ignoresMerges: false, joints: joints)
  }

  /// Returns the token of a word that is not to be built from merges, or nil.
  func wholeToken(of word: Span<UInt8>) -> Int32? {
    guard ignoresMerges else { return nil }
    return isByteLevel ? vocabulary.id(of: ByteAlphabet.text(of: word).span) : vocabulary.id(of: word)
  }

  /// Appends the initial tokens of a word, one for each byte or character.
  func appendSymbols(of word: Span<UInt8>, to symbols: inout [Int32]) {
    if isByteLevel { appendBytes(of: word, to: &symbols) } else { appendCharacters(of: word, to: &symbols) }
  }

  private func appendBytes(of word: Span<UInt8>, to symbols: inout [Int32]) {
    var previousIsUnknown = false
    for i in word.indices {
      let token = byteTokens[Int(word[i])]
      if let token {
        symbols.append(token)
      } else if let unknownToken, !(fusesUnknown && previousIsUnknown) {
        symbols.append(unknownToken)
      }
      previousIsUnknown = token == nil
    }
  }

  private func appendCharacters(of word: Span<UInt8>, to symbols: inout [Int32]) {
    // An unknown token waits for the next character of the vocabulary; `tokenizers` puts the bytes of other
    // characters before it.
    var waiting: Int32?
    var position = 0
    while position < word.count {
      let character = position..<word.scalar(at: position).end
      position = character.upperBound
      if let token = vocabulary.id(of: word.extracting(character)) {
        if let unknown = waiting.take() { symbols.append(unknown) }
        symbols.append(token)
      } else if !appendFallback(character, of: word, to: &symbols), let unknownToken {
        if waiting != nil, !fusesUnknown { symbols.append(unknownToken) }
        waiting = unknownToken
      }
    }
    if let waiting { symbols.append(waiting) }
  }

  /// Appends the tokens of a character's bytes; false if there are none.
  private func appendFallback(
    _ character: Range<Int>, of word: Span<UInt8>, to symbols: inout [Int32]
  ) -> Bool {
    guard fallsBackToBytes, character.allSatisfy({ byteTokens[Int(word[$0])] != nil }) else { return false }
    for i in character {
      if let token = byteTokens[Int(word[i])] { symbols.append(token) }
    }
    return true
  }

  /// Returns the end of the part of a word that begins at an offset; no merge reaches over the ends of a part.
  func endOfPart(of word: Span<UInt8>, from start: Int, _ joints: MergeJoints) -> Int {
    var (left, end) = word.scalar(at: start)
    while end < word.count {
      let (right, next) = word.scalar(at: end)
      // Unknown characters stay together, because they may become one token.
      if !joints.contains(left, right),
        knowsEveryByte || vocabulary.id(of: word.extracting(end..<next)) != nil
      {
        return end
      }
      (left, end) = (right, next)
    }
    return end
  }
}

/// The tokens of a model, by text and by id.
struct Vocabulary: Sendable {
  /// Ids from this one on are rejected, so that the table by id stays small.
  static let idLimit = 1 << 22

  private var texts = ByteStringTable()
  private var ids: [Int32] = []
  private var indices: [Int32] = []

  /// The number of tokens.
  var count: Int { ids.count }

  /// The largest id plus 1.
  var idBound: Int { indices.count }

  /// Adds a token.
  ///
  /// - Parameters:
  ///   - text: In UTF-8.
  ///   - id: Below `idLimit`.
  /// - Returns: Whether both text and id were new; otherwise nothing is added.
  mutating func insert(_ text: Span<UInt8>, id: Int) -> Bool {
    precondition((0..<Self.idLimit).contains(id), "token number \(id)")
    guard id >= indices.count || indices[id] < 0 else { return false }
    let (index, isNew) = texts.insert(text)
    guard isNew else { return false }
    while indices.count <= id { indices.append(-1) }
    indices[id] = Int32(index)
    ids.append(Int32(id))
    return true
  }

  /// Returns the id of a token, or nil if no token has the text.
  func id(of text: Span<UInt8>) -> Int32? { texts.index(of: text).map { ids[$0] } }

  /// Returns the text of a token, or nil if no token has the id.
  func text(of id: Int) -> ArraySlice<UInt8>? {
    guard indices.indices.contains(id), indices[id] >= 0 else { return nil }
    return texts[Int(indices[id])]
  }
}
