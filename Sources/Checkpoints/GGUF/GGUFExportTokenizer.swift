/// The tokenizer of a checkpoint as the metadata `tokenizer.*` of a GGUF file.
///
/// Only byte-level BPE, which llama.cpp calls `gpt2`, with a splitting of text that llama.cpp knows by name.
package struct GGUFExportTokenizer: Sendable {
  /// The metadata, in the order of writing.
  package let members: [GGUFExportMember]

  /// Takes metadata over.
  init(members: [GGUFExportMember]) { self.members = members }

  /// Reads the files of a checkpoint.
  ///
  /// - Parameters:
  ///   - tokenizer: `tokenizer.json`.
  ///   - settings: `tokenizer_config.json`; an empty object when there is none.
  ///   - configuration: `config.json`, for the ids that the settings leave out.
  ///   - templates: The chat templates.
  ///   - vocabularySize: The rows of the embedding; tokens without a name are marked as unused.
  ///   - path: The path for errors.
  /// - Throws: `FormatError.notExact` when llama.cpp would not split text as this tokenizer does.
  package init(
    tokenizer: JSONValue, settings: JSONValue, configuration: JSONValue, templates: ChatTemplates,
    vocabularySize: Int, path: String
  ) throws {
    let file = GGUFExportTokenizerFile(json: tokenizer, path: path)
    let splitting = try file.splitting()
    let tokens = try file.tokens(count: vocabularySize)
    var members: [GGUFExportMember] = [
      .init("tokenizer.ggml.model", .string("gpt2")),
      .init("tokenizer.ggml.pre", .string(splitting)),
      .init("tokenizer.ggml.tokens", .array(elementType: .string, tokens.map { .string($0.text) })),
      .init(
        "tokenizer.ggml.token_type", .array(elementType: .int32, tokens.map { .int32($0.kind.rawValue) })),
      .init("tokenizer.ggml.merges", .array(elementType: .string, try file.merges().map { .string($0) })),
    ]
    let idByText = Dictionary(
      tokens.enumerated().map { ($1.text, $0) }, uniquingKeysWith: { first, _ in first })
    for (key, name) in Self.specialTokens {
      let text = settings[key + "_token"].flatMap { $0.string ?? $0["content"]?.string }
      let id = text.flatMap { idByText[$0] } ?? configuration[key + "_token_id"].flatMap(Self.firstID)
      guard let id, tokens.indices.contains(id) else { continue }
      members.append(.init("tokenizer.ggml.\(name)_token_id", .uint32(UInt32(id))))
    }
    let added = file.addedAround
    members.append(.init("tokenizer.ggml.add_bos_token", .bool(added.begin)))
    members.append(.init("tokenizer.ggml.add_eos_token", .bool(added.end)))
    members.append(.init("tokenizer.ggml.add_space_prefix", .bool(false)))
    self.members = members + (try templates.members(path: path))
  }

  /// The special tokens: the beginnings of their keys in Hugging Face's files and in GGUF.
  private static let specialTokens = [("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")]

  private static func firstID(_ value: JSONValue) -> Int? { value.integer ?? value.array?.first?.integer }
}

/// A token in llama.cpp's terms.
struct GGUFExportToken: Sendable, Equatable {
  /// The kinds of tokens, with llama.cpp's numbers.
  enum Kind: Int32, Sendable {
    case normal = 1
    case control = 3
    case userDefined = 4
    case unused = 5
  }

  let text: String
  let kind: Kind
}

/// The parts of a `tokenizer.json` that a GGUF file takes over.
struct GGUFExportTokenizerFile {
  let json: JSONValue
  let path: String

  /// llama.cpp's name for how text is split.
  ///
  /// - Throws: `FormatError.notExact` when it has none.
  func splitting() throws(FormatError) -> String {
    guard json["model"]?["type"]?.string == "BPE" else {
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
    guard let name = normalized.first(where: { $0.ignoresMerges == ignoresMerges })?.names.first else {
      let name = normalized.first?.names.first ?? ""
      throw refusal(
        "model.ignore_merges", "is \(ignoresMerges), and llama.cpp takes the opposite for '\(name)'")
    }
    return name
  }

  /// The kind of the normalizer, or nil when there is none.
  private func normalizer() throws(FormatError) -> String? {
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
  /// - Parameter count: The rows of an embedding that exists, which bounds the memory for the texts.
  /// - Returns: As many tokens; those without a name are unused.
  /// - Throws: `FormatError` for an id outside the embedding, or an added token that GGUF does not hold.
  func tokens(count: Int) throws(FormatError) -> [GGUFExportToken] {
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
      for flag in ["lstrip", "rstrip", "single_word"] where token[flag]?.bool == true {
        throw refusal("added_tokens", "token '\(text)' has '\(flag)', which GGUF does not hold")
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

  /// The merges, their two sides separated by a space.
  func merges() throws(FormatError) -> [String] {
    var merges: [String] = []
    for merge in json["model"]?["merges"]?.array ?? [] {
      let text = merge.string ?? (merge.array ?? []).compactMap(\.string).joined(separator: " ")
      guard text.utf8.count(where: { $0 == UInt8(ascii: " ") }) == 1 else {
        throw FormatError(path, at: "key 'model.merges'", .malformed("'\(text)' is not a pair of tokens"))
      }
      merges.append(text)
    }
    return merges
  }

  /// Whether special tokens are put before and after a text.
  var addedAround: (begin: Bool, end: Bool) {
    let processor = json["post_processor"] ?? .null
    let parts = processor["processors"]?.array ?? [processor]
    let template = parts.compactMap { $0["single"]?.array }.first ?? []
    return (
      template.first.map { $0["SpecialToken"] != nil } ?? false,
      template.last.map { $0["SpecialToken"] != nil } ?? false
    )
  }

  private func refusal(_ key: String, _ reason: String) -> FormatError {
    FormatError(path, at: "key '\(key)'", .notExact(reason))
  }
}
