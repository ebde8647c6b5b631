import Checkpoints

/// The parts of a tokenizer that a SentencePiece model and the files beside it describe.
struct SentencePieceParts {
  /// The pieces, as a model without merges.
  let model: BytePairModel
  /// What cuts texts into pieces.
  let pieces: SentencePieceModel
  /// The tokens that are cut out of a text first.
  let addedTokens: [AddedToken]
  /// Pieces that only mark the structure of a text and are no added tokens.
  let controlTokens: [AddedToken]
  let decoder: TokenDecoder
  /// The tokens before a single text when special tokens are wanted.
  let prefixTokens: [Int32]

  /// Puts a model and its settings together.
  ///
  /// - Throws: `FormatError` when the normalization rules are malformed.
  init(_ file: SentencePieceFile, _ settings: SentencePieceSettings) throws {
    var vocabulary = Vocabulary()
    for (id, piece) in file.pieces.enumerated() {
      // Texts of pieces are unique, which the file's reader checks.
      _ = vocabulary.insert(Array(piece.text.utf8).span, id: id)
    }
    model = BytePairModel(
      vocabulary, MergeTable(minimumCapacity: 0), isByteLevel: false,
      byteTokens: [Int32?](repeating: nil, count: 256), fallsBackToBytes: false, unknownToken: nil,
      fusesUnknown: false, ignoresMerges: false, joints: nil)
    pieces = try SentencePieceModel(file, settings)
    addedTokens = settings.addedTokens.map { AddedToken($0) }
    let addedIDs = Set(addedTokens.map(\.id))
    controlTokens = file.pieces.enumerated()
      .filter { $1.kind == .control && !addedIDs.contains(Int32($0)) }
      .map { AddedToken(id: Int32($0), text: $1.text, isSpecial: true) }
    decoder = try TokenDecoder(file, settings)
    prefixTokens = settings.addsBegin ? [settings.beginID].compactMap { $0.map { Int32($0) } } : []
  }
}

extension AddedToken {
  fileprivate init(id: Int32, text: String, isSpecial: Bool) {
    self.init(
      id: id, content: Array(text.utf8), isSpecial: isSpecial, stripsLeft: false, stripsRight: false,
      isSingleWord: false, isNormalized: false)
  }

  fileprivate init(_ token: SentencePieceSettings.AddedToken) {
    self.init(
      id: Int32(token.id), content: Array(token.content.utf8), isSpecial: token.isSpecial,
      stripsLeft: token.stripsLeft, stripsRight: token.stripsRight, isSingleWord: token.isSingleWord,
      isNormalized: false)
  }
}

extension TokenDecoder {
  /// The steps that undo how a model writes spaces and bytes.
  ///
  /// - Throws: `FormatError`.
  fileprivate init(_ file: SentencePieceFile, _ settings: SentencePieceSettings) throws {
    self.init()
    let space = [UInt8(ascii: " ")]
    if file.normalization.escapesSpaces {
      do {
        steps.append(.replace(try Pattern(literal: "\u{2581}"), with: space))
      } catch {
        throw FormatError(file.path, .unsupported(error.reason))
      }
    }
    if file.hasByteFallback { steps.append(.byteFallback) }
    guard settings.addsDummyPrefix, file.normalization.addsDummyPrefix else { return }
    let isLast = file.treatsSpaceAsSuffix
    steps.append(.stripAll(Strip(content: space, start: isLast ? 0 : 1, stop: isLast ? 1 : 0)))
  }
}
