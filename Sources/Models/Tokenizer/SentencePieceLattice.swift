import Checkpoints

/// Finds the most probable sequence of pieces of a unigram model.
///
/// Sums are rounded as in SentencePiece, where they decide between sequences that are equally probable.
struct SentencePieceLattice: Sendable {
  /// How much less probable than the least probable piece an unknown character is.
  private static let unknownPenalty: Float = 10
  /// A user-defined piece has this score for each byte but one, whatever its own score is.
  private static let userDefinedScore: Float = 0.1
  /// Sums below this one are counted from the current place on, so that a long text does not lose digits.
  private static let leastSum: Float = -100_000

  /// All pieces but unused ones.
  private let trie: SentencePieceTrie
  private let scores: [Float]
  private let isUserDefined: [Bool]
  private let unknownScore: Float
  private let unknownID: Int32

  /// The last piece of the best sequence that ends at an offset.
  private struct End {
    var id: Int32 = -1
    var score: Float = 0
    var start = -1
  }

  /// Takes the pieces of a model.
  ///
  /// - Parameters:
  ///   - vocabulary: The pieces.
  ///   - texts: Their texts.
  init(_ vocabulary: SentencePieceTable, texts: [String]) {
    var trie = SentencePieceTrie()
    var least = Float.greatestFiniteMagnitude
    for (id, kind) in vocabulary.kinds.enumerated() {
      switch kind {
      case .normal:
        least = min(least, vocabulary.scores[id])
        trie.insert(Array(texts[id].utf8), value: Int32(id))
      case .userDefined: trie.insert(Array(texts[id].utf8), value: Int32(id))
      case .unknown, .control, .unused, .byte: continue
      }
    }
    self.trie = trie
    scores = vocabulary.scores
    isUserDefined = vocabulary.kinds.map { $0 == .userDefined }
    unknownScore = least - Self.unknownPenalty
    unknownID = vocabulary.unknownID
  }

  /// Calls `body` with each piece, in order.
  ///
  /// - Parameters:
  ///   - text: The changed text; it need not be valid UTF-8.
  ///   - body: Receives the id of a piece and its bytes as offsets in the text.
  func cut(_ text: Span<UInt8>, _ body: (Int32, Range<Int>) -> Void) {
    var ends = [End](repeating: End(), count: text.count + 1)
    var position = 0
    var furthestEnd = 0
    while position < text.count {
      let base = ends[position].score
      if base < Self.leastSum {
        for end in position...furthestEnd where ends[end].start >= 0 { ends[end].score -= base }
      }
      let characterEnd = text.endOfCharacter(at: position)
      if !extend(from: position, characterEnd, text, &ends, &furthestEnd) {
        Self.improve(&ends[characterEnd], unknownID, unknownScore + ends[position].score, from: position)
        furthestEnd = max(furthestEnd, characterEnd)
      }
      position = characterEnd
    }
    var pieces: [(id: Int32, range: Range<Int>)] = []
    var end = text.count
    while end > 0 {
      pieces.append((ends[end].id, ends[end].start..<end))
      end = ends[end].start
    }
    for piece in pieces.reversed() { body(piece.id, piece.range) }
  }

  /// Tries every piece that begins at an offset; returns whether one of them is a single character.
  private func extend(
    from start: Int, _ characterEnd: Int, _ text: Span<UInt8>, _ ends: inout [End], _ furthestEnd: inout Int
  ) -> Bool {
    var hasCharacter = false
    var node = SentencePieceTrie.root
    let score = ends[start].score
    for position in start..<text.count {
      node = trie.child(of: node, text[position])
      guard node >= 0 else { break }
      let id = trie.value(at: node)
      guard id >= 0 else { continue }
      let end = position + 1
      let own =
        isUserDefined[Int(id)] ? Float(end - start - 1) * Self.userDefinedScore : scores[Int(id)]
      Self.improve(&ends[end], id, own + score, from: start)
      furthestEnd = max(furthestEnd, end)
      if end == characterEnd { hasCharacter = true }
    }
    return hasCharacter
  }

  private static func improve(_ end: inout End, _ id: Int32, _ score: Float, from start: Int) {
    guard end.start < 0 || score > end.score else { return }
    end = End(id: id, score: score, start: start)
  }
}
