/// A SentencePiece model as the metadata of a GGUF file.
extension GGUFExportTokenizer {
  /// Takes over the pieces with their scores and types.
  ///
  /// - Parameters:
  ///   - file: The model.
  ///   - settings: What the files beside it say.
  ///   - templates: The chat templates.
  ///   - vocabularySize: The rows of the embedding; tokens without a piece are marked as unused.
  /// - Throws: `FormatError.notExact` when llama.cpp would not cut a text as this model does.
  package init(
    _ file: SentencePieceFile, _ settings: SentencePieceSettings, templates: ChatTemplates,
    vocabularySize: Int
  ) throws(FormatError) {
    try Self.requireRepresentable(file, settings)
    var tokens = (0..<vocabularySize).map {
      (text: "[PAD\($0)]", score: Float(0), kind: SentencePiece.Kind.unused)
    }
    func checked(_ id: Int) throws(FormatError) -> Int {
      guard id < vocabularySize else {
        throw FormatError(
          file.path, at: "token \(id)", .malformed("there are \(vocabularySize) embeddings"))
      }
      return id
    }
    for (id, piece) in file.pieces.enumerated() {
      tokens[try checked(id)] = (Self.text(of: piece), piece.score, piece.kind)
    }
    for token in settings.addedTokens where token.id != file.unknownID {
      let kind = token.isSpecial ? SentencePiece.Kind.control : .userDefined
      tokens[try checked(token.id)].text = token.content
      tokens[token.id].kind = kind
    }
    var members: [GGUFExportMember] = [
      .init("tokenizer.ggml.model", .string("llama")),
      .init("tokenizer.ggml.pre", .string("default")),
      .init("tokenizer.ggml.tokens", .array(elementType: .string, tokens.map { .string($0.text) })),
      .init("tokenizer.ggml.scores", .array(elementType: .float32, tokens.map { .float32($0.score) })),
      .init(
        "tokenizer.ggml.token_type",
        .array(elementType: .int32, tokens.map { .int32(Int32($0.kind.rawValue)) })),
    ]
    let special: [(String, Int?)] = [
      ("bos", settings.beginID), ("eos", settings.endID), ("unknown", file.unknownID),
      ("padding", settings.paddingID),
    ]
    for case (let name, let id?) in special where id < vocabularySize {
      members.append(.init("tokenizer.ggml.\(name)_token_id", .uint32(UInt32(id))))
    }
    members.append(.init("tokenizer.ggml.add_bos_token", .bool(settings.addsBegin)))
    members.append(.init("tokenizer.ggml.add_eos_token", .bool(settings.addsEnd)))
    members.append(
      .init(
        "tokenizer.ggml.add_space_prefix",
        .bool(settings.addsDummyPrefix && file.normalization.addsDummyPrefix)))
    self.init(
      members: members + (try templates.members(path: file.path)), notices: Self.notices(file, settings))
  }

  /// The texts that llama.cpp cuts otherwise, one sentence for each kind.
  private static func notices(_ file: SentencePieceFile, _ settings: SentencePieceSettings) -> [String] {
    var notices: [String] = []
    if file.pieces.contains(where: { $0.kind == .userDefined }) {
      notices.append(
        "llama.cpp takes user-defined tokens out of a text first, so that tokens beside them differ")
    }
    if file.pieces.contains(where: {
      $0.kind == .userDefined && SentencePieceForm.hasMark($0.text)
    }) {
      notices.append(GGUFExportPieces.literalSpaceNotice)
    }
    if !settings.prefixesEveryText, settings.addsDummyPrefix, file.normalization.addsDummyPrefix {
      notices.append(
        "llama.cpp puts a space before texts after a special token, so that their tokens differ")
    }
    return notices
  }

  /// llama.cpp finds user-defined tokens in the text as it is, where a space is a space.
  private static func text(of piece: SentencePiece) -> String {
    piece.kind == .userDefined ? SentencePieceForm.unmarked(piece.text) : piece.text
  }

  private static func requireRepresentable(
    _ file: SentencePieceFile, _ settings: SentencePieceSettings
  ) throws(FormatError) {
    let normalization = file.normalization
    let reason: String? =
      if file.method != .bytePair {
        "llama.cpp does not cut texts for this model as a unigram model does"
      } else if !normalization.rules.isEmpty {
        "llama.cpp does not apply the normalization '\(normalization.name)'"
      } else if normalization.removesExtraSpaces {
        "llama.cpp does not remove repeated spaces"
      } else if !normalization.escapesSpaces || file.treatsSpaceAsSuffix {
        "llama.cpp writes spaces as U+2581, and puts one first"
      } else if let token = settings.addedTokens.first(where: {
        $0.stripsLeft || $0.stripsRight || $0.isSingleWord
      }) {
        "token '\(token.content)' takes white space or whole words, which GGUF does not hold"
      } else {
        nil
      }
    if let reason { throw FormatError(file.path, .notExact(reason)) }
  }
}
