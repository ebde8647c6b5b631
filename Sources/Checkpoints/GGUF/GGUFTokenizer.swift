/// The tokenizer in the metadata of a GGUF file, as the files of a Hugging Face checkpoint.
struct GGUFTokenizer {
  private typealias Kind = SentencePieceVocabulary.Kind

  /// The values of `tokenizer.ggml.model`, and what they mean for a text.
  private enum Model {
    /// `gpt2`: words of bytes.
    case bytes(GGUFPreTokenizer, addsPrefixSpace: Bool)
    /// `llama`, with scores, and `gemma4`, with merges: texts of characters.
    case characters(SentencePieceForm)
  }

  private static let models = ["gpt2", "llama", "gemma4"]

  private let tokens: [String]
  private let kinds: [Kind]
  private let merges: [(left: String, right: String)]
  private let modelKind: Model
  private let beginToken: Int?
  private let endToken: Int?
  private let specialTokens: [(name: String, id: Int)]
  private let strips: GGUFRightStrips
  private let templates: ChatTemplates
  private let contextLength: Int?

  /// Reads the keys.
  ///
  /// Nil when the file has no tokenizer.
  ///
  /// - Parameters:
  ///   - keys: The metadata.
  ///   - vocabularySize: The rows of the embedding.
  /// - Throws: `FormatError` with a key that is malformed, or when the tokenizer is of another kind.
  init?(_ keys: GGUFKeys, vocabularySize: Int) throws(FormatError) {
    guard let model = try keys.string(Self.key("model")) else { return nil }
    guard Self.models.contains(model) else {
      throw keys.error(Self.key("model"), .unsupportedKind("tokenizer '\(model)'", supported: Self.models))
    }
    let isByteLevel = model == "gpt2"
    let addsPrefixSpace = try keys.bool(Self.key("add_space_prefix")) ?? (model == "llama")
    let preTokenizer = isByteLevel ? try Self.preTokenizer(keys) : nil
    modelKind =
      preTokenizer.map { .bytes($0, addsPrefixSpace: addsPrefixSpace) }
      ?? .characters(SentencePieceForm(addsPrefixSpace: addsPrefixSpace))
    let texts = try Self.readTokens(keys, count: vocabularySize)
    kinds = try Self.readKinds(keys, texts, isByteLevel: isByteLevel, cutsLines: model == "gemma4")
    tokens = model == "gemma4" ? Self.withSpaceMarks(texts, kinds) : texts
    merges =
      model == "llama" ? try Self.mergesByScore(keys, tokens, kinds) : try Self.readMerges(keys)
    let statesBegin = try keys.bool(Self.key("add_bos_token"))
    // llama.cpp begins every text of `gemma4` so, whatever the key says.
    let addsBegin = model == "gemma4" || statesBegin ?? preTokenizer?.addsBeginToken ?? true
    let addsEnd = try keys.bool(Self.key("add_eos_token")) ?? false
    var specialTokens: [(name: String, id: Int)] = []
    for (name, part) in [("bos", "bos"), ("eos", "eos"), ("pad", "padding"), ("unk", "unknown")] {
      let key = Self.key(part + "_token_id")
      guard let id = try keys.integer(key) ?? (model == "llama" ? Self.usualIDs[name] : nil) else { continue }
      guard tokens.indices.contains(id) else {
        throw keys.error(key, .malformed("token \(id) of \(tokens.count)"))
      }
      specialTokens.append((name + "_token", id))
    }
    self.specialTokens = specialTokens
    beginToken = addsBegin ? specialTokens.first { $0.name == "bos_token" }?.id : nil
    endToken = addsEnd ? specialTokens.first { $0.name == "eos_token" }?.id : nil
    strips = GGUFRightStrips(try keys.string("general.name") ?? "")
    templates = try ChatTemplates(keys)
    contextLength = try keys.integer("llama.context_length")
  }

  /// The special tokens of `llama` where no key names them.
  private static let usualIDs = ["unk": 0, "bos": 1, "eos": 2]

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
    var idByToken: [ExactText: Int] = [:]
    idByToken.reserveCapacity(count)
    for (id, token) in tokens.enumerated() {
      guard !token.isEmpty else { throw keys.error(key("tokens"), .malformed("token \(id) is empty")) }
      if let first = idByToken.updateValue(id, forKey: ExactText(token)) {
        throw keys.error(key("tokens"), .malformed("tokens \(first) and \(id) are the same, '\(token)'"))
      }
    }
    return tokens
  }

  /// Reads the kinds of the tokens; if `cutsLines` is set, runs of line breaks are cut out of a text, whatever
  /// their kind is.
  private static func readKinds(
    _ keys: GGUFKeys, _ tokens: [String], isByteLevel: Bool, cutsLines: Bool
  ) throws(FormatError) -> [Kind] {
    guard let numbers = try keys.integers(key("token_type")) else {
      return [Kind](repeating: .normal, count: tokens.count)
    }
    guard numbers.count == tokens.count else {
      throw keys.error(key("token_type"), .malformed("\(numbers.count) types of \(tokens.count) tokens"))
    }
    var kinds: [Kind] = []
    kinds.reserveCapacity(numbers.count)
    for (id, number) in numbers.enumerated() {
      guard let kind = Kind(rawValue: number), !isByteLevel || (kind != .byte && kind != .unknown) else {
        throw keys.error(key("token_type"), .unsupportedKind("token \(id) of type \(number)"))
      }
      let isLine = cutsLines && kind == .normal && tokens[id].utf8.allSatisfy { $0 == UInt8(ascii: "\n") }
      kinds.append(isLine ? .userDefined : kind)
    }
    return kinds
  }

  /// The tokens with "▁" for the spaces of those that are looked for in a text as it is, because the merges
  /// of `gemma4` name them so.
  private static func withSpaceMarks(_ tokens: [String], _ kinds: [Kind]) -> [String] {
    let known = Set(tokens.map(ExactText.init))
    return zip(tokens, kinds).map { token, kind in
      guard kind == .userDefined else { return token }
      let marked = SentencePieceForm.marked(token)
      return known.contains(ExactText(marked)) ? token : marked
    }
  }

  /// The merges of a tokenizer that merges the neighbours whose joined text has the best score.
  private static func mergesByScore(
    _ keys: GGUFKeys, _ tokens: [String], _ kinds: [Kind]
  ) throws(FormatError) -> [(left: String, right: String)] {
    guard let scores = try keys.floats(key("scores")) else {
      throw FormatError(keys.path, .missing("key '\(key("scores"))'"))
    }
    guard scores.count == tokens.count else {
      throw keys.error(key("scores"), .malformed("\(scores.count) scores of \(tokens.count) tokens"))
    }
    if let id = scores.firstIndex(where: \.isNaN) {
      throw keys.error(key("scores"), .malformed("the score of token \(id) is not a number"))
    }
    let ranked = tokens.indices.filter { kinds[$0] == .normal && tokens[$0].unicodeScalars.count > 1 }
    if ranked.count > 1, Set(ranked.map { scores[$0] }).count == 1 {
      // Some converters write the same score for all, and then nothing tells what to merge first.
      throw keys.error(key("scores"), .unsupported("the same score for all tokens is not supported"))
    }
    let pieces = tokens.indices.map { id in
      SentencePieceVocabulary.Piece(tokens[id], score: scores[id], kind: kinds[id])
    }
    return try SentencePieceVocabulary(pieces).merges(path: keys.path)
  }

  private static func readMerges(_ keys: GGUFKeys) throws(FormatError) -> [(left: String, right: String)] {
    guard let texts = try keys.strings(key("merges")) else {
      throw FormatError(keys.path, .missing("key '\(key("merges"))'"))
    }
    var merges: [(left: String, right: String)] = []
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
      JSONValue.Member("normalizer", normalizer),
      JSONValue.Member("pre_tokenizer", preTokenizer),
      JSONValue.Member("post_processor", postProcessor),
      JSONValue.Member("decoder", decoder),
      JSONValue.Member("model", model),
    ])
  }

  private var normalizer: JSONValue {
    switch modelKind {
    case .bytes(let preTokenizer, _): preTokenizer.normalizerJSON
    case .characters(let form): form.normalizer
    }
  }

  private var preTokenizer: JSONValue {
    switch modelKind {
    case .bytes(let preTokenizer, let addsSpace): preTokenizer.json(addsPrefixSpace: addsSpace)
    case .characters: .null
    }
  }

  private var decoder: JSONValue {
    switch modelKind {
    case .bytes: GGUFPreTokenizer.byteLevel(true, usesRegex: true)
    case .characters(let form): form.decoder
    }
  }

  private func addedToken(_ id: Int) -> JSONValue? {
    guard [.control, .userDefined, .unknown].contains(kinds[id]) else { return nil }
    return .object([
      JSONValue.Member("id", .integer(id)),
      JSONValue.Member("content", .string(tokens[id])),
      JSONValue.Member("single_word", .bool(false)),
      JSONValue.Member("lstrip", .bool(false)),
      JSONValue.Member("rstrip", .bool(strips.contains(tokens[id]))),
      JSONValue.Member("normalized", .bool(false)),
      JSONValue.Member("special", .bool(kinds[id] != .userDefined)),
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
    var (unknown, isOfCharacters, ignoresMerges) = (JSONValue.null, false, false)
    switch modelKind {
    case .bytes(let preTokenizer, _): ignoresMerges = preTokenizer.ignoresMerges
    case .characters:
      isOfCharacters = true
      let id = kinds.firstIndex(of: .unknown) ?? specialTokens.first { $0.name == "unk_token" }?.id
      if let id, kinds[id] != .unused { unknown = .string(tokens[id]) }
    }
    return .object([
      JSONValue.Member("type", .string("BPE")),
      JSONValue.Member("dropout", .null),
      JSONValue.Member("unk_token", unknown),
      JSONValue.Member("continuing_subword_prefix", .string("")),
      JSONValue.Member("end_of_word_suffix", .string("")),
      JSONValue.Member("fuse_unk", .bool(isOfCharacters)),
      JSONValue.Member("byte_fallback", .bool(isOfCharacters)),
      JSONValue.Member("ignore_merges", .bool(ignoresMerges)),
      JSONValue.Member("vocab", .object(vocabulary)),
      JSONValue.Member("merges", .array(merges.map { .array([.string($0.left), .string($0.right)]) })),
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
