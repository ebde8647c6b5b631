/// The tokenizer in the metadata of a GGUF file, as the files of a Hugging Face checkpoint.
struct GGUFTokenizer {
  /// The values of `tokenizer.ggml.token_type`.
  private enum Kind: Int {
    case normal = 1
    case control = 3
    case userDefined = 4
    case unused = 5
  }

  private let tokens: [String]
  private let kinds: [Kind]
  private let merges: [(String, String)]
  private let preTokenizer: GGUFPreTokenizer
  private let addsPrefixSpace: Bool
  private let beginToken: Int?
  private let endToken: Int?
  private let specialTokens: [(name: String, id: Int)]
  private let templates: ChatTemplates
  private let contextLength: Int?

  /// Reads the keys.
  ///
  /// Nil when the file has no tokenizer.
  ///
  /// - Parameters:
  ///   - keys: The metadata.
  ///   - vocabularySize: The rows of the embedding.
  /// - Throws: `FormatError` with a key that is malformed, or when the tokenizer is not byte-level BPE.
  init?(_ keys: GGUFKeys, vocabularySize: Int) throws(FormatError) {
    guard let model = try keys.string(Self.key("model")) else { return nil }
    guard model == "gpt2" else {
      throw keys.error(Self.key("model"), .unsupportedKind("tokenizer '\(model)'", supported: ["gpt2"]))
    }
    preTokenizer = try Self.preTokenizer(keys)
    addsPrefixSpace = try keys.bool(Self.key("add_space_prefix")) ?? false
    tokens = try Self.readTokens(keys, count: vocabularySize)
    kinds = try Self.readKinds(keys, count: tokens.count)
    merges = try Self.readMerges(keys)
    let addsBegin = try keys.bool(Self.key("add_bos_token")) ?? preTokenizer.addsBeginToken
    let addsEnd = try keys.bool(Self.key("add_eos_token")) ?? false
    var specialTokens: [(name: String, id: Int)] = []
    for (name, part) in [("bos", "bos"), ("eos", "eos"), ("pad", "padding"), ("unk", "unknown")] {
      let key = Self.key(part + "_token_id")
      guard let id = try keys.integer(key) else { continue }
      guard tokens.indices.contains(id) else {
        throw keys.error(key, .malformed("token \(id) of \(tokens.count)"))
      }
      specialTokens.append((name + "_token", id))
    }
    self.specialTokens = specialTokens
    beginToken = addsBegin ? specialTokens.first { $0.name == "bos_token" }?.id : nil
    endToken = addsEnd ? specialTokens.first { $0.name == "eos_token" }?.id : nil
    templates = try ChatTemplates(keys)
    contextLength = try keys.integer("llama.context_length")
  }

  private static func key(_ name: String) -> String { "tokenizer.ggml." + name }

  private static func preTokenizer(_ keys: GGUFKeys) throws(FormatError) -> GGUFPreTokenizer {
    // Files from before May 2024 lack the key, and nothing else tells how they split text.
    guard let name = try keys.string(key("pre")) else {
      throw FormatError(keys.path, .unsupported("a tokenizer without key '\(key("pre"))' is not supported"))
    }
    guard let preTokenizer = GGUFPreTokenizer.named(name) else {
      throw keys.error(key("pre"), .unsupportedKind("pre-tokenizer '\(name)'"))
    }
    return preTokenizer
  }

  private static func readTokens(_ keys: GGUFKeys, count: Int) throws(FormatError) -> [String] {
    guard let tokens = try keys.strings(key("tokens")) else {
      throw FormatError(keys.path, .missing("key '\(key("tokens"))'"))
    }
    guard tokens.count == count else {
      throw keys.error(
        key("tokens"), .malformed("\(tokens.count) tokens, the embedding has \(count)"))
    }
    var idByToken: [String: Int] = [:]
    idByToken.reserveCapacity(count)
    for (id, token) in tokens.enumerated() {
      guard !token.isEmpty else { throw keys.error(key("tokens"), .malformed("token \(id) is empty")) }
      if let first = idByToken.updateValue(id, forKey: token) {
        throw keys.error(key("tokens"), .malformed("tokens \(first) and \(id) are the same, '\(token)'"))
      }
    }
    return tokens
  }

  private static func readKinds(_ keys: GGUFKeys, count: Int) throws(FormatError) -> [Kind] {
    guard let numbers = try keys.integers(key("token_type")) else {
      return [Kind](repeating: .normal, count: count)
    }
    guard numbers.count == count else {
      throw keys.error(key("token_type"), .malformed("\(numbers.count) types of \(count) tokens"))
    }
    var kinds: [Kind] = []
    kinds.reserveCapacity(count)
    for (id, number) in numbers.enumerated() {
      guard let kind = Kind(rawValue: number) else {
        throw keys.error(key("token_type"), .unsupportedKind("token \(id) of type \(number)"))
      }
      kinds.append(kind)
    }
    return kinds
  }

  private static func readMerges(_ keys: GGUFKeys) throws(FormatError) -> [(String, String)] {
    guard let texts = try keys.strings(key("merges")) else {
      throw FormatError(keys.path, .missing("key '\(key("merges"))'"))
    }
    var merges: [(String, String)] = []
    merges.reserveCapacity(texts.count)
    for (i, text) in texts.enumerated() {
      let space = UInt8(ascii: " ")
      guard let middle = text.utf8.firstIndex(of: space), middle == text.utf8.lastIndex(of: space),
        middle > text.startIndex, text.utf8.index(after: middle) < text.endIndex
      else { throw keys.error(key("merges"), .malformed("merge \(i), '\(text)', is not two parts")) }
      merges.append((String(text[..<middle]), String(text[text.utf8.index(after: middle)...])))
    }
    return merges
  }
}

extension GGUFTokenizer {
  /// The files for the tokenizer of a GGUF file.
  ///
  /// - Parameters:
  ///   - keys: The metadata.
  ///   - vocabularySize: The rows of the embedding.
  /// - Returns: Hugging Face's files; for a tokenizer that is not understood, the file that keeps it, and the
  ///   reason.
  /// - Throws: `FormatError` with the key that is malformed.
  static func files(
    _ keys: GGUFKeys, vocabularySize: Int
  ) throws(FormatError) -> (files: [(name: String, bytes: [UInt8])], refusal: FormatError?) {
    do throws(FormatError) {
      return (try GGUFTokenizer(keys, vocabularySize: vocabularySize)?.files ?? [], nil)
    } catch {
      switch error.problem {
      case .unsupported, .unsupportedKind: return ([GGUFKeptTokenizer.file(keys)], error)
      default: throw error
      }
    }
  }

  /// The files, in the order of their names.
  var files: [(name: String, bytes: [UInt8])] {
    var files = [
      ("tokenizer.json", document.compactText), ("tokenizer_config.json", configuration.prettyText),
    ]
    files += templates.files
    return files.sorted { precedes($0.0, $1.0) }.map { ($0.0, Array($0.1.utf8)) }
  }

  private var document: JSONValue {
    .object([
      JSONValue.Member("version", .string("1.0")),
      JSONValue.Member("truncation", .null),
      JSONValue.Member("padding", .null),
      JSONValue.Member("added_tokens", .array(tokens.indices.compactMap(addedToken))),
      JSONValue.Member("normalizer", preTokenizer.normalizerJSON),
      JSONValue.Member("pre_tokenizer", preTokenizer.json(addsPrefixSpace: addsPrefixSpace)),
      JSONValue.Member("post_processor", postProcessor),
      JSONValue.Member("decoder", GGUFPreTokenizer.byteLevel(true, usesRegex: true)),
      JSONValue.Member("model", model),
    ])
  }

  private func addedToken(_ id: Int) -> JSONValue? {
    guard kinds[id] == .control || kinds[id] == .userDefined else { return nil }
    return .object([
      JSONValue.Member("id", .integer(id)),
      JSONValue.Member("content", .string(tokens[id])),
      JSONValue.Member("single_word", .bool(false)),
      JSONValue.Member("lstrip", .bool(false)),
      JSONValue.Member("rstrip", .bool(false)),
      JSONValue.Member("normalized", .bool(false)),
      JSONValue.Member("special", .bool(kinds[id] == .control)),
    ])
  }

  /// Puts tokens before and after a text, if the file asks for it.
  private var postProcessor: JSONValue {
    func part(_ kind: String, _ id: String, _ type: Int) -> JSONValue {
      let inner = [JSONValue.Member("id", .string(id)), JSONValue.Member("type_id", .integer(type))]
      return .object([JSONValue.Member(kind, .object(inner))])
    }
    func special(_ id: Int?, _ type: Int) -> [JSONValue] {
      id.map { [part("SpecialToken", tokens[$0], type)] } ?? []
    }
    func text(_ id: String, _ type: Int) -> [JSONValue] {
      special(beginToken, type) + [part("Sequence", id, type)] + special(endToken, type)
    }
    let added = Set([beginToken, endToken].compactMap(\.self)).sorted().map { id in
      JSONValue.Member(
        tokens[id],
        .object([
          JSONValue.Member("id", .string(tokens[id])), JSONValue.Member("ids", .array([.integer(id)])),
          JSONValue.Member("tokens", .array([.string(tokens[id])])),
        ]))
    }
    return .object([
      JSONValue.Member("type", .string("TemplateProcessing")),
      JSONValue.Member("single", .array(text("A", 0))),
      JSONValue.Member("pair", .array(text("A", 0) + text("B", 1))),
      JSONValue.Member("special_tokens", .object(added)),
    ])
  }

  private var model: JSONValue {
    let vocabulary = tokens.indices.filter { kinds[$0] != .unused }
      .map { JSONValue.Member(tokens[$0], .integer($0)) }
    return .object([
      JSONValue.Member("type", .string("BPE")),
      JSONValue.Member("dropout", .null),
      JSONValue.Member("unk_token", .null),
      JSONValue.Member("continuing_subword_prefix", .string("")),
      JSONValue.Member("end_of_word_suffix", .string("")),
      JSONValue.Member("fuse_unk", .bool(false)),
      JSONValue.Member("byte_fallback", .bool(false)),
      JSONValue.Member("ignore_merges", .bool(preTokenizer.ignoresMerges)),
      JSONValue.Member("vocab", .object(vocabulary)),
      JSONValue.Member("merges", .array(merges.map { .array([.string($0.0), .string($0.1)]) })),
    ])
  }

  private var configuration: JSONValue {
    var members = specialTokens.map { JSONValue.Member($0.name, .string(tokens[$0.id])) }
    if let contextLength { members.append(JSONValue.Member("model_max_length", .integer(contextLength))) }
    if let setting = templates.setting { members.append(setting) }
    members.append(JSONValue.Member("tokenizer_class", .string("PreTrainedTokenizerFast")))
    return .object(members.sorted { precedes($0.key, $1.key) })
  }
}
