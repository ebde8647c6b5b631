public import Checkpoints

/// A BPE tokenizer, of bytes or of characters, that encodes and decodes as the `tokenizers` library does.
///
/// `Formats/tokenizer.md` lists the supported parts of `tokenizer.json`. A tokenizer of a SentencePiece model
/// (`Formats/sentencepiece.md`) cuts texts as SentencePiece does.
public final class Tokenizer: Sendable {
  /// The largest token id plus 1: the number of rows that an embedding needs.
  public let vocabularySize: Int
  /// The tokens that the post-processor puts before a text, such as a begin token; `encode` does not add
  /// them.
  public let prefixTokens: [Int32]

  let model: BytePairModel
  let addedTokens: [Int32: AddedToken]
  let decodedTokens: DecodedTokens
  let decoder: TokenDecoder
  /// The added tokens whose text is another one after normalization.
  let changedTokens: Set<Int32>
  private let normalizer: Normalizer
  private let preTokenizer: PreTokenizer
  private let exactCutter: AddedTokenCutter
  private let normalizedCutter: AddedTokenCutter
  /// The pieces of a SentencePiece model; nil when `model` cuts texts.
  private let pieces: SentencePieceModel?

  /// Reads the document of a `tokenizer.json`.
  ///
  /// - Parameters:
  ///   - json: The document.
  ///   - path: The file, for errors.
  /// - Throws: `FormatError`: `.unsupported` names a component that is not supported, `.malformed` a defect.
  public init(parsing json: JSONValue, path: String) throws {
    let file = try TokenizerFile(json, path: path)
    model = file.model
    addedTokens = Dictionary(file.addedTokens.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    prefixTokens = file.prefixTokens
    decoder = file.decoder
    normalizer = file.normalizer
    preTokenizer = file.preTokenizer
    exactCutter = AddedTokenCutter(file.addedTokens.filter { !$0.isNormalized })
    normalizedCutter = AddedTokenCutter(file.normalizedTokens)
    vocabularySize = max(model.vocabulary.idBound, 1 + Int(file.addedTokens.map(\.id).max() ?? -1))
    var texts = addedTokens.mapValues(\.content)
    changedTokens = Set(file.normalizedTokens.filter { texts[$0.id] != $0.content }.map(\.id))
    for token in file.normalizedTokens { texts[token.id] = token.content }
    decodedTokens = DecodedTokens(
      model.vocabulary, texts, isByteLevel: decoder.isByteLevel, idBound: vocabularySize)
    pieces = nil
  }

  /// Takes a SentencePiece model.
  ///
  /// - Parameters:
  ///   - file: The model.
  ///   - settings: What the files beside it say.
  /// - Throws: `FormatError` when its normalization rules are malformed.
  init(_ file: SentencePieceFile, _ settings: SentencePieceSettings) throws {
    let parts = try SentencePieceParts(file, settings)
    model = parts.model
    addedTokens = Dictionary(
      (parts.addedTokens + parts.controlTokens).map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    prefixTokens = parts.prefixTokens
    decoder = parts.decoder
    normalizer = Normalizer()
    preTokenizer = PreTokenizer()
    exactCutter = AddedTokenCutter(parts.addedTokens)
    normalizedCutter = AddedTokenCutter([])
    vocabularySize = max(model.vocabulary.idBound, 1 + Int(addedTokens.keys.max() ?? -1))
    changedTokens = []
    decodedTokens = DecodedTokens(
      model.vocabulary, addedTokens.mapValues(\.content), isByteLevel: false, idBound: vocabularySize)
    pieces = parts.pieces
  }

  /// Reads the bytes of a `tokenizer.json`.
  ///
  /// - Throws: `FormatError`, with the byte offset if the text is not JSON.
  public convenience init(parsing bytes: RawSpan, path: String) throws {
    let json: JSONValue
    do {
      json = try JSONValue(parsing: bytes)
    } catch {
      throw FormatError(path, byte: error.byteOffset, .malformed(error.reason))
    }
    try self.init(parsing: json, path: path)
  }

  /// Reads the `tokenizer.json` at a path.
  public convenience init(contentsOf path: String) throws {
    try self.init(parsing: JSONValue(contentsOf: path), path: path)
  }

  /// Returns the tokens of a text; added tokens in it are recognized, none are added around it.
  public func encode(_ text: String) -> [Int32] { encode(valid: Array(text.utf8).span) }

  /// Encodes a text in UTF-8.
  ///
  /// - Parameters:
  ///   - bytes: The text, without byte order mark.
  ///   - path: The source of the text, for errors.
  /// - Returns: The tokens.
  /// - Throws: `FormatError` with the offset of the first byte that is not UTF-8.
  public func encode(_ bytes: [UInt8], path: String) throws -> [Int32] {
    do {
      _ = try UTF8Span(validating: bytes.span)
    } catch {
      throw FormatError(path, byte: error.byteOffsets.lowerBound, .malformed("text is not UTF-8"))
    }
    return encode(valid: bytes.span)
  }

  /// Returns the words of a text without added tokens.
  package func words(of text: String) -> [String] {
    var words: [String] = []
    let bytes = Array(text.utf8)
    let normalized = normalizer.changed(bytes.span) ?? bytes
    preTokenizer.forEachWord(of: normalized.span, isFirst: true) { word in
      words.append(String(decoding: word.bytes(in: word.indices), as: UTF8.self))
    }
    return words
  }

  /// Whether the merges make every token of its own text, so that ignoring them for whole words changes
  /// nothing.
  package var mergesMakeTokens: Bool {
    var encoder = WordEncoder(model.followingMerges)
    var tokens: [Int32] = []
    for id in 0..<model.vocabulary.idBound {
      guard addedTokens[Int32(id)] == nil, let text = model.vocabulary.text(of: id) else { continue }
      guard let word = model.isByteLevel ? ByteAlphabet.bytes(of: text.span) : Array(text) else { continue }
      tokens.removeAll(keepingCapacity: true)
      encoder.append(word.span, to: &tokens)
      if tokens != [Int32(id)] { return false }
    }
    return true
  }

  private func encode(valid text: Span<UInt8>) -> [Int32] {
    if let pieces { return encode(valid: text, pieces) }
    var encoder = WordEncoder(model)
    var tokens: [Int32] = []
    tokens.reserveCapacity(text.count / 3)
    exactCutter.cut(text) { piece in
      switch piece {
      case .token(let id): tokens.append(id)
      case .text(let range):
        encode(
          unnormalized: text.extracting(range), isFirst: range.lowerBound == 0, &encoder, &tokens)
      }
    }
    return tokens
  }

  private func encode(valid text: Span<UInt8>, _ pieces: SentencePieceModel) -> [Int32] {
    var words = SentencePieceWords()
    var tokens: [Int32] = []
    tokens.reserveCapacity(text.count / 3)
    exactCutter.cut(text) { piece in
      switch piece {
      case .token(let id): tokens.append(id)
      case .text(let range):
        pieces.append(text.extracting(range), isFirst: range.lowerBound == 0, &words, to: &tokens)
      }
    }
    return tokens
  }

  private func encode(
    unnormalized text: Span<UInt8>, isFirst: Bool, _ encoder: inout WordEncoder, _ tokens: inout [Int32]
  ) {
    if let normalized = normalizer.changed(text) {
      encode(normalized: normalized.span, isFirst: isFirst, &encoder, &tokens)
    } else {
      encode(normalized: text, isFirst: isFirst, &encoder, &tokens)
    }
  }

  private func encode(
    normalized text: Span<UInt8>, isFirst: Bool, _ encoder: inout WordEncoder, _ tokens: inout [Int32]
  ) {
    normalizedCutter.cut(text) { piece in
      switch piece {
      case .token(let id): tokens.append(id)
      case .text(let range):
        let isFirst = isFirst && range.lowerBound == 0
        preTokenizer.forEachWord(of: text.extracting(range), isFirst: isFirst) {
          encoder.append($0, to: &tokens)
        }
      }
    }
  }
}
