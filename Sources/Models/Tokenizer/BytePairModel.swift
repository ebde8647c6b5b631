/// A byte-level BPE model: its vocabulary, its merges and its rules for unknown bytes.
struct BytePairModel: Sendable {
  /// The tokens, without those that are only in `added_tokens`.
  let vocabulary: Vocabulary
  /// The merges.
  let merges: MergeTable
  /// The token of each byte; nil for a byte that is not in the vocabulary.
  let byteTokens: [Int32?]
  /// The token for bytes that are not in the vocabulary; nil leaves such bytes out.
  let unknownToken: Int32?
  /// Whether neighbouring unknown bytes become one token.
  let fusesUnknown: Bool
  /// Whether a word that is itself a token is not built from merges.
  let ignoresMerges: Bool

  /// Appends the initial tokens of a word, one per byte.
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
