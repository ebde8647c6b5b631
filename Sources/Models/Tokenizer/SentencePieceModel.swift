import Checkpoints

/// Turns texts into the ids of a SentencePiece model, as SentencePiece itself does.
///
/// Source: `src/bpe_model.cc`, `src/unigram_model.cc` and `src/sentencepiece_processor.cc` of SentencePiece.
struct SentencePieceModel: Sendable {
  private let normalizer: SentencePieceNormalizer
  private let vocabulary: SentencePieceTable
  private let fixedPieces: SentencePieceTrie
  /// The pieces of a unigram model; nil when neighbours are merged.
  private let lattice: SentencePieceLattice?
  /// Whether no piece has a space after another character, so that words can be cut one by one.
  private let wordsAreSeparate: Bool
  /// Whether also the texts after added tokens get the space that the model puts first.
  private let prefixesEveryText: Bool

  /// Prepares a model.
  ///
  /// - Throws: `FormatError` when its normalization rules are malformed.
  init(_ file: SentencePieceFile, _ settings: SentencePieceSettings) throws {
    prefixesEveryText = settings.prefixesEveryText
    var fixedPieces = SentencePieceTrie()
    for (id, piece) in file.pieces.enumerated() where piece.kind == .userDefined {
      fixedPieces.insert(Array(piece.text.utf8), value: Int32(id))
    }
    self.fixedPieces = fixedPieces
    normalizer = try SentencePieceNormalizer(
      file, fixedPieces: fixedPieces, addsDummyPrefix: settings.addsDummyPrefix)
    vocabulary = SentencePieceTable(file)
    lattice =
      file.method == .unigram ? SentencePieceLattice(vocabulary, texts: file.pieces.map(\.text)) : nil
    wordsAreSeparate = !file.pieces.contains { piece in
      let text = Array(piece.text.utf8)
      return piece.kind != .control && text.span.endOfWord(from: 0) < text.count
    }
  }

  /// Appends the ids of a text.
  ///
  /// - Parameters:
  ///   - text: Valid UTF-8.
  ///   - isFirst: Whether nothing of the text, such as an added token, stands before.
  ///   - words: The words already cut.
  ///   - ids: The ids are appended to it.
  func append(_ text: Span<UInt8>, isFirst: Bool, _ words: inout SentencePieceWords, to ids: inout [Int32]) {
    let changed = normalizer.changed(text, allowsDummyPrefix: isFirst || prefixesEveryText)
    let span = changed.span
    var outcome = SentencePieceOutcome(vocabulary, ids)
    ids = []
    if let lattice {
      lattice.cut(span) { outcome.append($0, span.extracting($1)) }
    } else if wordsAreSeparate {
      words.cut(span, vocabulary, fixedPieces) { outcome.append($0, span.extracting($1)) }
    } else {
      words.merger.cut(span, vocabulary, fixedPieces) { outcome.append($0, span.extracting($1)) }
    }
    ids = outcome.ids
  }
}

/// The ids of a text: unknown characters as their bytes, or a run of them as one id.
private struct SentencePieceOutcome {
  private let vocabulary: SentencePieceTable
  private var followsUnknown = false
  private(set) var ids: [Int32]

  init(_ vocabulary: SentencePieceTable, _ ids: consuming [Int32]) {
    self.vocabulary = vocabulary
    self.ids = ids
  }

  mutating func append(_ id: Int32, _ text: Span<UInt8>) {
    let isUnknown = id == vocabulary.unknownID
    defer { followsUnknown = isUnknown }
    if isUnknown, let byteIDs = vocabulary.byteIDs {
      for i in text.indices { ids.append(byteIDs[Int(text[i])]) }
    } else if !(isUnknown && followsUnknown) {
      ids.append(id)
    }
  }
}

/// The words that a model has cut, with their pieces; texts have few different ones.
struct SentencePieceWords {
  private static let rememberedCount = 1 << 17
  private static let rememberedByteCount = 256

  var merger = SentencePieceMerger()
  private var words = ByteStringTable()
  private var pieces: [(id: Int32, byteCount: Int32)] = []
  private var ends: [Int] = [0]

  /// Calls `body` with each piece, in order; words are cut one by one.
  ///
  /// - Parameters:
  ///   - text: The changed text.
  ///   - vocabulary: The pieces, none of which has a space after another character.
  ///   - fixedPieces: The user-defined pieces.
  ///   - body: Receives the id of a piece and its bytes as offsets in the text.
  mutating func cut(
    _ text: Span<UInt8>, _ vocabulary: SentencePieceTable, _ fixedPieces: SentencePieceTrie,
    _ body: (Int32, Range<Int>) -> Void
  ) {
    var start = 0
    while start < text.count {
      let end = text.endOfWord(from: start)
      let word = text.extracting(start..<end)
      if let index = words.index(of: word) {
        var position = start
        for piece in pieces[ends[index]..<ends[index + 1]] {
          body(piece.id, position..<position + Int(piece.byteCount))
          position += Int(piece.byteCount)
        }
      } else {
        let isRemembered = words.count < Self.rememberedCount && word.count <= Self.rememberedByteCount
        merger.cut(word, vocabulary, fixedPieces) { id, range in
          body(id, start + range.lowerBound..<start + range.upperBound)
          if isRemembered { pieces.append((id, Int32(range.count))) }
        }
        if isRemembered {
          _ = words.insert(word)
          ends.append(pieces.count)
        }
      }
      start = end
    }
  }
}

extension Span<UInt8> {
  /// The end of the word that begins at an offset: spaces (U+2581), then other characters.
  fileprivate func endOfWord(from start: Int) -> Int {
    var end = start
    while isSpaceSymbol(at: end) { end += SentencePieceNormalizer.spaceSymbol.count }
    while end < count, !isSpaceSymbol(at: end) { end += 1 }
    return end
  }

  private func isSpaceSymbol(at offset: Int) -> Bool {
    offset + 2 < count && self[offset] == 0xE2 && self[offset + 1] == 0x96 && self[offset + 2] == 0x81
  }
}
