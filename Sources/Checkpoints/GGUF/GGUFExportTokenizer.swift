/// The tokenizer of a checkpoint as the metadata `tokenizer.*` of a GGUF file.
///
/// Byte-level BPE, which llama.cpp calls `gpt2`, with a splitting of text that llama.cpp knows by name, and BPE
/// of SentencePiece's kind, which it calls `llama` or `gemma4`.
package struct GGUFExportTokenizer: Sendable {
  /// The metadata, in the order of writing.
  package let members: [GGUFExportMember]
  /// The texts that llama.cpp tokenizes differently, one sentence for each kind.
  package let notices: [String]
  /// The value of `general.name` that llama.cpp can read these tokens with; nil if it can with any.
  package private(set) var modelName: String?

  /// Takes metadata over.
  init(members: [GGUFExportMember], notices: [String] = []) {
    self.members = members
    self.notices = notices
  }

  /// Reads the files of a checkpoint.
  ///
  /// - Parameters:
  ///   - tokenizer: `tokenizer.json`.
  ///   - settings: `tokenizer_config.json`; an empty object when there is none.
  ///   - configuration: `config.json`, for the ids that the settings leave out.
  ///   - templates: The chat templates.
  ///   - vocabularySize: The rows of the embedding; tokens without a name are marked as unused.
  ///   - modelName: The value of `general.name`, by which llama.cpp knows some tokenizers.
  ///   - mergesMakeTokens: Tells whether the merges make every token of its own text, so that `ignore_merges`
  ///     changes nothing; called only if that matters.
  ///   - path: The path for errors.
  /// - Throws: `FormatError.notExact` when llama.cpp would not split text as this tokenizer does.
  package init(
    tokenizer: JSONValue, settings: JSONValue, configuration: JSONValue, templates: ChatTemplates,
    vocabularySize: Int, modelName: String = "", mergesMakeTokens: () -> Bool = { false }, path: String
  ) throws {
    let file = GGUFExportTokenizerFile(json: tokenizer, path: path)
    let form = file.sentencePieceForm
    let splitting = form == nil ? try file.splitting(mergesMakeTokens: mergesMakeTokens) : nil
    let strips = GGUFRightStrips(modelName)
    let isReadable = GGUFRightStrips.exceptions.allSatisfy(file.hasToken)
    self.modelName = isReadable || strips.isNone ? nil : GGUFRightStrips.otherName
    let tokens = try file.tokens(
      count: vocabularySize, strippingRight: GGUFRightStrips(self.modelName ?? modelName))
    var members: [GGUFExportMember]
    if let form {
      let isGemma4 = configuration["model_type"]?.string?.hasPrefix("gemma4") == true
      let pieces = GGUFExportPieces(file: file, tokens: tokens, form: form)
      members = isGemma4 ? try pieces.gemma4Members() : try pieces.llamaMembers()
      notices = isGemma4 ? pieces.addedTokenNotices : pieces.notices
    } else {
      members = [
        .init("tokenizer.ggml.model", .string("gpt2")),
        .init("tokenizer.ggml.pre", .string(splitting ?? "")),
        .init("tokenizer.ggml.tokens", .array(elementType: .string, tokens.map { .string($0.text) })),
        GGUFExportToken.kinds(of: tokens),
        .init(
          "tokenizer.ggml.merges",
          .array(elementType: .string, try file.merges().map { .string($0.text) })),
      ]
      notices =
        try file.normalizer().map {
          ["llama.cpp does not apply \($0), so that texts not in it have other tokens"]
        }
        ?? []
    }
    let idByText = Dictionary(
      tokens.enumerated().map { (ExactText($1.text), $0) }, uniquingKeysWith: { first, _ in first })
    let added = file.addedAround
    for (key, name) in Self.specialTokens {
      let text = settings[key + "_token"].flatMap { $0.string ?? $0["content"]?.string }
      // llama.cpp puts this token before a text if any, so it has to be the one of the template.
      let first = key == "bos" ? added.begin : nil
      let id =
        (first ?? text).flatMap { idByText[ExactText($0)] }
        ?? configuration[key + "_token_id"].flatMap(Self.firstID)
      guard let id, tokens.indices.contains(id) else { continue }
      members.append(.init("tokenizer.ggml.\(name)_token_id", .uint32(UInt32(id))))
    }
    members.append(.init("tokenizer.ggml.add_bos_token", .bool(added.begin != nil)))
    members.append(.init("tokenizer.ggml.add_eos_token", .bool(added.end)))
    members.append(.init("tokenizer.ggml.add_space_prefix", .bool(form?.addsPrefixSpace ?? false)))
    self.members = members + (try templates.members(path: path))
  }

  /// The special tokens: the beginnings of their keys in Hugging Face's files and in GGUF.
  private static let specialTokens = [("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")]

  private static func firstID(_ value: JSONValue) -> Int? { value.integer ?? value.array?.first?.integer }
}

/// A token in llama.cpp's terms.
struct GGUFExportToken: Sendable, Equatable {
  typealias Kind = SentencePieceVocabulary.Kind

  var text: String
  var kind: Kind

  /// The key for the kinds of tokens.
  static func kinds(of tokens: [GGUFExportToken]) -> GGUFExportMember {
    GGUFExportMember(
      "tokenizer.ggml.token_type",
      .array(elementType: .int32, tokens.map { .int32(Int32($0.kind.rawValue)) }))
  }
}

/// Two neighbours that merge.
struct GGUFExportMerge: Sendable {
  let left: String
  let right: String

  /// The token that they make.
  var token: ExactText { ExactText(left + right) }
  /// Both with a space between them.
  var text: String { left + " " + right }

  /// Reads both; nil unless there is one space.
  ///
  /// It is looked for in UTF-8, because a space and a mark after it are one `Character`.
  init?(_ text: String) {
    let parts = text.utf8.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
    guard parts.count == 2 else { return nil }
    (left, right) = (String(Substring(parts[0])), String(Substring(parts[1])))
  }
}

/// The parts of a `tokenizer.json` that a GGUF file takes over.
struct GGUFExportTokenizerFile {
  let json: JSONValue
  let path: String

  /// Whether a text is a token.
  func hasToken(_ text: String) -> Bool {
    json["model"]?["vocab"]?[text] != nil
      || (json["added_tokens"]?.array ?? []).contains { $0["content"]?.string == text }
  }

  /// How spaces are treated, in a tokenizer of SentencePiece's kind; nil for another one.
  var sentencePieceForm: SentencePieceForm? {
    json["model"]?["byte_fallback"]?.bool == true ? SentencePieceForm(json) : nil
  }

  /// llama.cpp's name for how text is split.
  ///
  /// - Parameter mergesMakeTokens: Whether `ignore_merges` changes nothing.
  /// - Returns: The value of `tokenizer.ggml.pre`.
  /// - Throws: `FormatError.notExact` when it has none.
  func splitting(mergesMakeTokens: () -> Bool) throws(FormatError) -> String {
    guard json["model"]?["type"]?.string ?? "BPE" == "BPE" else {
      throw refusal("model", "'\(json["model"]?["type"]?.string ?? "none")' is not byte-level BPE")
    }
    let component = json["pre_tokenizer"] ?? .null
    let candidates = GGUFPreTokenizer.matching(component)
    guard !candidates.isEmpty else {
      let kinds = (component["pretokenizers"]?.array ?? [component]).map { $0["type"]?.string ?? "unknown" }
      throw refusal(
        "pre_tokenizer", "llama.cpp has no name for this one (\(kinds.joined(separator: ", ")))")
    }
    let normalizer = try normalizer()
    // llama.cpp applies no normalizer, but runs these models nevertheless.
    let normalized = candidates.filter { normalizer == nil || $0.normalizer == normalizer }
    guard !normalized.isEmpty else {
      throw refusal("normalizer", "'\(normalizer ?? "")' is not applied by llama.cpp")
    }
    // The name tells llama.cpp whether to merge a word from its bytes even if the word is a token.
    let ignoresMerges = json["model"]?["ignore_merges"]?.bool ?? false
    if let name = normalized.first(where: { $0.ignoresMerges == ignoresMerges })?.names.first { return name }
    let name = normalized.first?.names.first ?? ""
    guard mergesMakeTokens() else {
      throw refusal(
        "model.ignore_merges", "is \(ignoresMerges), and llama.cpp takes the opposite for '\(name)'")
    }
    return name
  }

  /// The kind of the normalizer, or nil when there is none.
  func normalizer() throws(FormatError) -> String? {
    guard let component = json["normalizer"], !component.isNull else { return nil }
    let parts = component["normalizers"]?.array ?? [component]
    let kinds = parts.map { $0["type"]?.string ?? "unknown" }
    guard kinds.count <= 1 else {
      throw refusal(
        "normalizer", "\(kinds.map { "'\($0)'" }.joined(separator: ", ")) are not applied by llama.cpp")
    }
    return kinds.first
  }

  /// The tokens by their ids.
  ///
  /// - Parameters:
  ///   - count: The rows of an embedding that exists, which bounds the memory for the texts.
  ///   - strips: The tokens after which llama.cpp removes white space.
  /// - Returns: As many tokens; those without a name are unused.
  /// - Throws: `FormatError` for an id outside the embedding, or an added token that GGUF does not hold.
  func tokens(
    count: Int, strippingRight strips: GGUFRightStrips
  ) throws(FormatError) -> [GGUFExportToken] {
    var tokens = (0..<count).map { GGUFExportToken(text: "[PAD\($0)]", kind: .unused) }
    for member in json["model"]?["vocab"]?.object ?? [] {
      let id = try checkedID(member.value, of: member.key, below: count)
      tokens[id] = GGUFExportToken(text: member.key, kind: .normal)
    }
    for token in json["added_tokens"]?.array ?? [] {
      guard let text = token["content"]?.string else {
        throw FormatError(path, at: "key 'added_tokens'", .missing("string 'content'"))
      }
      let id = try checkedID(token["id"] ?? .null, of: text, below: count)
      for flag in ["lstrip", "single_word"] where token[flag]?.bool == true {
        throw refusal("added_tokens", "token '\(text)' has '\(flag)', which GGUF does not hold")
      }
      let stripsRight = token["rstrip"]?.bool == true
      guard stripsRight == strips.contains(text) else {
        throw refusal(
          "added_tokens",
          stripsRight
            ? "token '\(text)' has 'rstrip', which GGUF does not hold"
            : "token '\(text)' has no 'rstrip', but llama.cpp takes it to have one in a model of this name")
      }
      tokens[id] = GGUFExportToken(text: text, kind: token["special"]?.bool == true ? .control : .userDefined)
    }
    return tokens
  }

  private func checkedID(_ value: JSONValue, of text: String, below count: Int) throws(FormatError) -> Int {
    guard let id = value.integer, id >= 0 else {
      throw FormatError(path, at: "token '\(text)'", .malformed("its id is not a whole number from 0"))
    }
    guard id < count else {
      throw FormatError(
        path, at: "token '\(text)'", .malformed("id \(id), but there are \(count) embeddings"))
    }
    return id
  }

  /// The merges, the earliest first.
  ///
  /// - Throws: `FormatError.malformed` for a merge that is no pair.
  func merges() throws(FormatError) -> [GGUFExportMerge] {
    var merges: [GGUFExportMerge] = []
    for merge in json["model"]?["merges"]?.array ?? [] {
      let text = merge.string ?? (merge.array ?? []).compactMap(\.string).joined(separator: " ")
      guard let merge = GGUFExportMerge(text) else {
        throw FormatError(path, at: "key 'model.merges'", .malformed("'\(text)' is not a pair of tokens"))
      }
      merges.append(merge)
    }
    return merges
  }

  /// The special token that is put before a text, and whether one is put after it.
  var addedAround: (begin: String?, end: Bool) {
    let processor = json["post_processor"] ?? .null
    let parts = processor["processors"]?.array ?? [processor]
    let template = parts.compactMap { $0["single"]?.array }.first ?? []
    return (
      template.first.flatMap { $0["SpecialToken"]?["id"]?.string },
      template.last.map { $0["SpecialToken"] != nil } ?? false
    )
  }

  /// An error for what llama.cpp would do otherwise.
  func refusal(_ key: String, _ reason: String) -> FormatError {
    FormatError(path, at: "key '\(key)'", .notExact(reason))
  }
}

/// The added tokens after which llama.cpp removes white space, which it knows by the name of the model.
///
/// Source: `llama_vocab::impl::load` in `src/llama-vocab.cpp` of llama.cpp.
struct GGUFRightStrips {
  /// The tokens that keep it; llama.cpp does not read a file of such a name without one of them.
  static let exceptions: Set<String> = ["<unk>", "<s>", "<|endoftext|>"]
  /// A name that says nothing of tokens.
  static let otherName = "model"
  private let isPhi3: Bool
  /// Whether the name says nothing of tokens.
  var isNone: Bool { !isPhi3 }

  /// Looks at the value of `general.name`.
  init(_ modelName: String) {
    let name = modelName.lowercased()
    isPhi3 = name.contains("phi-3") || name.contains("phi3")
  }

  /// Whether white space after a token is removed.
  func contains(_ token: String) -> Bool { isPhi3 && !Self.exceptions.contains(token) }
}
