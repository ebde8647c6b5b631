/// A SentencePiece model: the file `tokenizer.model`.
///
/// `Formats/sentencepiece.md` lists the fields that are read.
package struct SentencePieceFile: Sendable {
  /// The name of the file in a folder.
  package static let fileName = "tokenizer.model"

  /// How a text is cut into pieces.
  package enum Method: Int, Sendable {
    /// The most probable sequence of pieces.
    case unigram = 1
    /// Merges of neighbours, the best score first.
    case bytePair = 2
  }

  /// How a text is changed before it is cut into pieces.
  package struct Normalization: Sendable, Equatable {
    /// The name of the rules, for messages.
    package fileprivate(set) var name = ""
    /// The compiled rules: a trie, then texts; empty when characters stay as they are.
    package fileprivate(set) var rules: [UInt8] = []
    /// Whether a space is put first.
    package fileprivate(set) var addsDummyPrefix = true
    /// Whether spaces at both ends and repeated spaces are removed.
    package fileprivate(set) var removesExtraSpaces = true
    /// Whether spaces become U+2581.
    package fileprivate(set) var escapesSpaces = true
  }

  /// The file.
  package let path: String
  /// The pieces by their ids; texts are unique.
  package private(set) var pieces: [SentencePiece] = []
  /// How a text is cut into pieces.
  package private(set) var method = Method.unigram
  /// How a text is changed before.
  package private(set) var normalization = Normalization()
  /// Whether a character without a piece becomes its bytes.
  package private(set) var hasByteFallback = false
  /// Whether the space of `addsDummyPrefix` is put last.
  package private(set) var treatsSpaceAsSuffix = false
  /// The piece of characters that have no piece.
  package private(set) var unknownID = 0
  /// The piece that begins a text.
  package private(set) var beginID: Int?
  /// The piece that ends a text.
  package private(set) var endID: Int?
  /// The piece that fills rows.
  package private(set) var paddingID: Int?
}

extension SentencePieceFile {
  /// Reads and checks a file.
  ///
  /// - Parameters:
  ///   - file: The bytes.
  ///   - path: The path for errors.
  /// - Throws: `FormatError`: `.malformed` with the byte or the piece, `.unsupportedKind` for another kind of
  ///   model.
  package init(parsing file: RawSpan, path: String) throws(FormatError) {
    guard !Self.isTiktoken(file) else {
      throw FormatError(path, .unsupported("tiktoken's list of tokens is not supported"))
    }
    self.path = path
    var ids: [Int] = [1, 2, -1]
    var reader = ProtobufReader(0..<file.byteCount, path: path)
    while let field = try reader.next(file) {
      switch field.number {
      case 1: try appendPiece(field, file)
      case 2: try readTrainer(field, file, ids: &ids)
      case 3: try readNormalization(field, file)
      default: continue
      }
    }
    try checkPieces()
    (beginID, endID, paddingID) = (try id(ids[0], "begin"), try id(ids[1], "end"), try id(ids[2], "padding"))
  }

  /// Whether a file is a list of tokens in base64, which some checkpoints also call `tokenizer.model`.
  private static func isTiktoken(_ file: RawSpan) -> Bool {
    let space = UInt8(ascii: " ")
    let letters = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=".utf8)
    let start = (0..<min(file.byteCount, 64)).map { file.byte(at: $0) }
    guard let end = start.firstIndex(of: space), end > 0 else { return false }
    return start[..<end].allSatisfy { letters.contains($0) }
  }

  private mutating func appendPiece(_ field: ProtobufField, _ file: RawSpan) throws(FormatError) {
    guard pieces.count < SentencePiece.countLimit else {
      throw field.error(.malformed("there are more than \(SentencePiece.countLimit) pieces"))
    }
    pieces.append(try SentencePiece(field, file, id: pieces.count, path: path))
  }

  private mutating func readTrainer(
    _ message: ProtobufField, _ file: RawSpan, ids: inout [Int]
  ) throws(FormatError) {
    var reader = ProtobufReader(try message.range(), path: path)
    while let field = try reader.next(file) {
      switch field.number {
      case 3:
        guard let method = Method(rawValue: try field.integer()) else {
          throw field.error(
            .unsupportedKind("model type \(try field.integer())", supported: ["unigram (1)", "BPE (2)"]))
        }
        self.method = method
      case 24: treatsSpaceAsSuffix = try field.bool()
      case 35: hasByteFallback = try field.bool()
      case 41: ids[0] = try field.integer()
      case 42: ids[1] = try field.integer()
      case 43: ids[2] = try field.integer()
      default: continue
      }
    }
  }

  private mutating func readNormalization(
    _ message: ProtobufField, _ file: RawSpan
  ) throws(FormatError) {
    var reader = ProtobufReader(try message.range(), path: path)
    while let field = try reader.next(file) {
      switch field.number {
      case 1: normalization.name = try field.string(file)
      case 2: normalization.rules = file.extracting(try field.range()).copiedBytes()
      case 3: normalization.addsDummyPrefix = try field.bool()
      case 4: normalization.removesExtraSpaces = try field.bool()
      case 5: normalization.escapesSpaces = try field.bool()
      default: continue
      }
    }
  }
}

/// What SentencePiece checks when it loads a model.
extension SentencePieceFile {
  private mutating func checkPieces() throws(FormatError) {
    // Bytes, because texts that differ only in their normalization form are equal strings.
    var idByText: [[UInt8]: Int] = [:]
    idByText.reserveCapacity(pieces.count)
    var unknownIDs: [Int] = []
    var byteCount = 0
    for (id, piece) in pieces.enumerated() {
      if let first = idByText.updateValue(id, forKey: Array(piece.text.utf8)) {
        throw malformed(id, "is the same as piece \(first), '\(piece.text)'")
      }
      switch piece.kind {
      case .unknown: unknownIDs.append(id)
      case .byte: byteCount += 1
      default: continue
      }
    }
    guard unknownIDs.count == 1 else {
      throw FormatError(path, .malformed("\(unknownIDs.count) pieces are for unknown characters, expected 1"))
    }
    unknownID = unknownIDs[0]
    guard byteCount == (hasByteFallback ? 256 : 0) else {
      throw FormatError(
        path, .malformed("\(byteCount) pieces are for bytes, expected \(hasByteFallback ? 256 : 0)"))
    }
  }

  private func malformed(_ id: Int, _ reason: String) -> FormatError {
    FormatError(path, at: "piece \(id)", .malformed(reason))
  }

  /// Returns an id of the trainer's settings; nil when it is negative, which means none.
  private func id(_ id: Int, _ what: String) throws(FormatError) -> Int? {
    guard id >= 0 else { return nil }
    // Models without such a piece leave the default id, which then belongs to another one.
    guard pieces.indices.contains(id), pieces[id].kind == .control else { return nil }
    return id
  }
}
