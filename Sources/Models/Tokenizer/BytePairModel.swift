/// A byte-level BPE model: the vocabulary, the merges and what is done about bytes without a token.
struct BytePairModel: Sendable {
  /// The tokens, without those that are only added.
  let vocabulary: Vocabulary
  /// The merges.
  let merges: MergeTable
  /// The token of each byte; nil for one that is not in the vocabulary.
  let byteTokens: [Int32?]
  /// What stands for bytes without a token; nil to leave them out.
  let unknownToken: Int32?
  /// Whether neighbouring unknown bytes become one token.
  let fusesUnknown: Bool
  /// Whether a word that is a token is not put together by merges.
  let ignoresMerges: Bool

  /// Appends the tokens that a word begins with, one for each byte.
  func appendSymbols(of word: Span<UInt8>, to symbols: inout [Int32]) {
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
}

/// The tokens of a model, by text and by number.
struct Vocabulary: Sendable {
  /// Numbers from here on are refused, so that a table by number stays small.
  static let idLimit = 1 << 22

  private var texts = ByteStringTable()
  private var ids: [Int32] = []
  private var indices: [Int32] = []

  /// The number of tokens.
  var count: Int { ids.count }

  /// One more than the largest number.
  var idBound: Int { indices.count }

  /// Adds a token.
  ///
  /// - Parameters:
  ///   - text: In UTF-8.
  ///   - id: Below `idLimit`.
  /// - Returns: Whether both were new; otherwise nothing is added.
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

  /// The number of a token, or nil when there is none of that text.
  func id(of text: Span<UInt8>) -> Int32? { texts.index(of: text).map { ids[$0] } }

  /// The text of a token, or nil when there is none of that number.
  func text(of id: Int) -> ArraySlice<UInt8>? {
    guard indices.indices.contains(id), indices[id] >= 0 else { return nil }
    return texts[Int(indices[id])]
  }
}
