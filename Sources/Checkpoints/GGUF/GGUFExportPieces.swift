/// A tokenizer of SentencePiece's kind, as the metadata of a GGUF file.
struct GGUFExportPieces {
  private let file: GGUFExportTokenizerFile
  private let tokens: [GGUFExportToken]
  private let form: SentencePieceForm

  /// Takes a tokenizer.
  ///
  /// - Parameters:
  ///   - file: Its model has `byte_fallback`.
  ///   - tokens: Normal, added and unused ones; the others are told apart here.
  ///   - form: How it treats spaces.
  init(file: GGUFExportTokenizerFile, tokens: [GGUFExportToken], form: SentencePieceForm) {
    self.file = file
    self.form = form
    let unknown = file.json["model"]?["unk_token"]?.string
    self.tokens = tokens.map { token in
      var token = token
      if token.text == unknown { token.kind = .unknown }
      if token.kind == .normal, Self.isByte(token.text) { token.kind = .byte }
      return token
    }
  }

  /// What texts with the character U+2581 are read as, which user-defined tokens match no more.
  static let literalSpaceNotice =
    "llama.cpp reads runs of the character U+2581 in a text one by one, so that their tokens differ"

  /// The texts that llama.cpp tokenizes differently.
  var notices: [String] {
    var notices = addedTokenNotices
    if let exception = form.exception {
      notices.append("llama.cpp puts a space before \(exception), so that their tokens differ")
    }
    if !cutsSpacesFirst {
      notices.append("llama.cpp takes runs of spaces out of a text first, so that tokens beside them differ")
    }
    return notices
  }

  /// The texts with added tokens that llama.cpp tokenizes differently, whatever its model.
  var addedTokenNotices: [String] {
    var notices: [String] = []
    if tokens.contains(where: { $0.kind == .userDefined && SentencePieceForm.hasMark($0.text) }) {
      notices.append(Self.literalSpaceNotice)
    }
    if let token = tokenAfterSpaces {
      notices.append(
        "llama.cpp finds '\(token)' everywhere in a text, not only after a space or at the beginning, "
          + "so that tokens beside it differ")
    }
    return notices
  }

  /// The first added token that is looked for together with the space put before a text.
  private var tokenAfterSpaces: String? {
    // Metaspace puts its spaces after the added tokens were found.
    guard form.addsPrefixSpace, file.json["normalizer"]?.isNull == false else { return nil }
    let tokens = file.json["added_tokens"]?.array ?? []
    return tokens.first { $0["normalized"]?.bool == true }?["content"]?.string
  }

  /// Whether merging makes the added tokens of several spaces before it joins a space to anything else.
  ///
  /// llama.cpp cuts them out of a text before it merges.
  private var cutsSpacesFirst: Bool {
    var runs: Set<ExactText> = []
    for token in tokens
    where token.kind == .userDefined && token.text.unicodeScalars.allSatisfy({ $0 == SentencePieceForm.mark })
    {
      runs.insert(ExactText(token.text))
    }
    guard !runs.isEmpty, let merges = try? file.merges() else { return true }
    let others = merges.drop { runs.contains($0.token) || !SentencePieceForm.hasMark($0.text) }
    return !others.contains { runs.contains($0.token) }
  }

  /// The keys of `llama`: tokens merge by score.
  ///
  /// - Throws: `FormatError.notExact` when no scores give the merges of the tokenizer.
  func llamaMembers() throws(FormatError) -> [GGUFExportMember] {
    let scores = try scores()
    return [
      .init("tokenizer.ggml.model", .string("llama")),
      .init("tokenizer.ggml.pre", .string("default")),
      texts,
      .init("tokenizer.ggml.scores", .array(elementType: .float32, scores.map { .float32($0) })),
      GGUFExportToken.kinds(of: tokens),
    ]
  }

  /// The keys of `gemma4`: tokens merge by the list of merges.
  ///
  /// - Throws: `FormatError.notExact` when llama.cpp would cut a text differently.
  func gemma4Members() throws(FormatError) -> [GGUFExportMember] {
    guard !form.addsPrefixSpace else {
      throw file.refusal("normalizer", "llama.cpp puts no space before a text of Gemma 4")
    }
    let merges = try file.merges()
    let lineBreak = UInt8(ascii: "\n")
    for merge in merges {
      let text = merge.left.utf8 + Array(merge.right.utf8)
      guard !text.contains(lineBreak) || text.allSatisfy({ $0 == lineBreak }) else {
        throw file.refusal("model.merges", "'\(merge.text)' joins line breaks to other characters")
      }
    }
    try requireMerging()
    return [
      .init("tokenizer.ggml.model", .string("gemma4")),
      texts,
      // llama.cpp's converter writes this score for all of them.
      .init(
        "tokenizer.ggml.scores",
        .array(elementType: .float32, tokens.map { _ in .float32(-1000) })),
      GGUFExportToken.kinds(of: tokens),
      .init("tokenizer.ggml.merges", .array(elementType: .string, merges.map { .string($0.text) })),
    ]
  }

  private var texts: GGUFExportMember {
    GGUFExportMember(
      "tokenizer.ggml.tokens",
      .array(
        elementType: .string,
        tokens.map { token in
          // llama.cpp looks for these in the text as it is.
          .string(token.kind == .userDefined ? SentencePieceForm.unmarked(token.text) : token.text)
        }))
  }

  private static func isByte(_ text: String) -> Bool {
    let bytes = Array(text.utf8)
    guard bytes.count == 6, bytes.starts(with: "<0x".utf8), bytes[5] == UInt8(ascii: ">") else {
      return false
    }
    return UInt8(String(decoding: bytes[3..<5], as: UTF8.self), radix: 16) != nil
  }

  /// Checks what llama.cpp always does.
  private func requireMerging() throws(FormatError) {
    guard tokens.count(where: { $0.kind == .byte }) == 256 else {
      throw file.refusal("model.vocab", "llama.cpp needs a token for each byte")
    }
    guard file.json["model"]?["ignore_merges"]?.bool != true else {
      throw file.refusal("model.ignore_merges", "is true, and llama.cpp merges every text")
    }
  }

  /// The scores of all tokens: minus the rank of the first merge that makes one.
  private func scores() throws(FormatError) -> [Float] {
    try requireMerging()
    let merges = try normalMerges()
    var ids: [ExactText: Int] = [:]
    for (id, token) in tokens.enumerated() where token.kind == .normal { ids[ExactText(token.text)] = id }
    var scores = tokens.map { $0.kind == .normal ? -Float(merges.count) : 0 }
    for (rank, merge) in merges.enumerated().reversed() {
      if let id = ids[merge.token] { scores[id] = -Float(rank) }
    }
    try compare(merges, scores)
    return scores
  }

  /// The merges of normal tokens; llama.cpp cuts the others out of a text before it merges.
  private func normalMerges() throws(FormatError) -> [GGUFExportMerge] {
    var others: Set<ExactText> = []
    for token in tokens where token.kind != .normal { others.insert(ExactText(token.text)) }
    return try file.merges().filter { merge in
      let texts = [ExactText(merge.left), ExactText(merge.right), merge.token]
      return !texts.contains(where: others.contains)
    }
  }

  /// Compares the merges with those that llama.cpp makes by scores.
  private func compare(_ merges: [GGUFExportMerge], _ scores: [Float]) throws(FormatError) {
    let pieces = tokens.indices.map {
      SentencePieceVocabulary.Piece(tokens[$0].text, score: scores[$0], kind: tokens[$0].kind)
    }
    let made = try SentencePieceVocabulary(pieces).merges(path: file.path)
    for (merge, other) in zip(merges, made)
    where merge.token != ExactText(other.left + other.right) {
      throw file.refusal(
        "model.merges",
        "llama.cpp merges '\(other.left)' and '\(other.right)' before '\(merge.left)' and '\(merge.right)'")
    }
    guard merges.count == made.count else {
      throw file.refusal(
        "model.merges", "llama.cpp makes \(made.count) merges of these tokens, there are \(merges.count)")
    }
  }
}
