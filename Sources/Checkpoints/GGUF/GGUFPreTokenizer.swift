/// A way to split text into words: its name in `tokenizer.ggml.pre`, and its description in `tokenizer.json`.
///
/// One table serves both directions: the meaning of a name that is read, and the name that is written for a
/// `tokenizer.json`. Source: `src/llama-vocab.cpp` of llama.cpp, and the tokenizers of the named models.
struct GGUFPreTokenizer: Sendable {
  /// A component before `ByteLevel`.
  enum Part: Sendable, Equatable {
    /// `Split`: every match of the expression is a word, and so is the text between two matches.
    case split(String)
    /// `Digits`: every digit is a word.
    case digits
  }

  /// The names of this way; the first one is written.
  let names: [String]
  /// The components before `ByteLevel`, which uses its own expression unless one of them is a split.
  let parts: [Part]
  /// The component `normalizer` of models with such a tokenizer; llama.cpp applies none.
  let normalizer: String?
  /// Whether a word that is a token is taken unchanged instead of being built by merges.
  let ignoresMerges: Bool
  /// Whether texts begin with the beginning-of-text token unless the file says otherwise.
  let addsBeginToken: Bool

  private init(
    _ names: [String], _ parts: [Part], normalizer: String? = nil, ignoresMerges: Bool = false,
    addsBeginToken: Bool = false
  ) {
    self.names = names
    self.parts = parts
    self.normalizer = normalizer
    self.ignoresMerges = ignoresMerges
    self.addsBeginToken = addsBeginToken
  }

  /// Every known way.
  ///
  /// If several fit a `tokenizer.json`, the first one is written.
  static let all = [
    GGUFPreTokenizer(["gpt-2", "phi-2", "a.x-4.0", "granite-docling", "mellum", "trillion"], []),
    GGUFPreTokenizer(["olmo"], [], normalizer: "NFC"),
    GGUFPreTokenizer(["smollm", "starcoder", "refact", "minerva-7b"], [.digits]),
    GGUFPreTokenizer(["command-r"], [.digits], normalizer: "NFC"),
    GGUFPreTokenizer(
      ["llama-bpe", "llama3", "llama-v3", "lfm2", "falcon3", "midm-2.0", "pixtral"],
      [.split(words(digits: "{1,3}"))], ignoresMerges: true, addsBeginToken: true),
    GGUFPreTokenizer(["smaug-bpe", "dbrx", "glm4", "chatglm-bpe"], [.split(words(digits: "{1,3}"))]),
    GGUFPreTokenizer(["qwen2"], [.split(words(digits: ""))], normalizer: "NFC"),
    GGUFPreTokenizer(["deepseek-r1-qwen", "kormo", "megrez", "stablelm2"], [.split(words(digits: ""))]),
    GGUFPreTokenizer(["qwen35"], [.split(wordsWithMarks)], normalizer: "NFC"),
    GGUFPreTokenizer(
      ["tekken"], [.split(casedWords(contractions: "", digits: ""))], ignoresMerges: true,
      addsBeginToken: true),
    GGUFPreTokenizer(
      ["gpt-4o", "llama4"],
      [.split(casedWords(contractions: "(?i:'s|'t|'re|'ve|'m|'ll|'d)?", digits: "{1,3}"))]),
    GGUFPreTokenizer(["deepseek-v3"], deepSeek.map(Part.split)),
    GGUFPreTokenizer(["deepseek-coder"], deepSeekCoder.map(Part.split) + [.digits]),
  ]

  /// The way of a name; nil for a name that is not known for certain.
  static func named(_ name: String) -> GGUFPreTokenizer? { all.first { $0.names.contains(name) } }

  /// The expression of Llama 3 and Qwen 2, which differ in how many digits stay together.
  private static func words(digits: String) -> String {
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"# + digits
      + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  }

  /// The expression of Qwen 3.5.
  private static let wordsWithMarks =
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"#
    + #"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#

  /// The expressions of Tekken and of GPT-4o.
  private static func casedWords(contractions: String, digits: String) -> String {
    let upper = #"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"#
    let lower = #"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"#
    let before = #"[^\r\n\p{L}\p{N}]?"#
    return "\(before)\(upper)*\(lower)+\(contractions)|\(before)\(upper)+\(lower)*\(contractions)"
      + #"|\p{N}"# + digits + #"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  }

  /// The expressions of DeepSeek Coder, each applied to the pieces of the one before.
  private static let deepSeekCoder = [
    "[\r\n]", #"\s?\p{L}+"#, #"\s?\p{P}+"#, "[\u{4E00}-\u{9FA5}\u{800}-\u{4E00}\u{AC00}-\u{D7FF}]+",
  ]

  /// The expressions of DeepSeek-V3, each applied to the pieces of the one before; they contain literal line
  /// breaks.
  private static let deepSeek = [
    #"\p{N}{1,3}"#, "[一-龥぀-ゟ゠-ヿ]+",
    ##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^"## + "\r\n" + #"\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"#
      + #"| ?[\p{P}\p{S}]+["# + "\r\n" + #"]*|\s*["# + "\r\n" + #"]+|\s+(?!\S)|\s+"#,
  ]
}

/// As the components of a `tokenizer.json`.
extension GGUFPreTokenizer {
  private var usesRegex: Bool { parts.allSatisfy { $0 == .digits } }

  /// The component `normalizer`.
  var normalizerJSON: JSONValue { normalizer.map { Self.component($0) } ?? .null }

  /// The component `pre_tokenizer`.
  ///
  /// - Parameter addsPrefixSpace: Whether a space is put before a text that does not begin with one.
  /// - Returns: An object.
  func json(addsPrefixSpace: Bool) -> JSONValue {
    let bytes = Self.byteLevel(addsPrefixSpace, usesRegex: usesRegex)
    guard !parts.isEmpty else { return bytes }
    return Self.component(
      "Sequence", [JSONValue.Member("pretokenizers", .array(parts.map(\.json) + [bytes]))])
  }

  fileprivate static func component(_ type: String, _ members: [JSONValue.Member] = []) -> JSONValue {
    .object([JSONValue.Member("type", .string(type))] + members)
  }

  /// The component `ByteLevel`.
  static func byteLevel(_ addsPrefixSpace: Bool, usesRegex: Bool) -> JSONValue {
    component(
      "ByteLevel",
      [
        JSONValue.Member("add_prefix_space", .bool(addsPrefixSpace)),
        JSONValue.Member("trim_offsets", .bool(true)), JSONValue.Member("use_regex", .bool(usesRegex)),
      ])
  }

  /// The ways that split text like a component `pre_tokenizer`, whatever is done before and after.
  static func matching(_ json: JSONValue) -> [GGUFPreTokenizer] {
    let components = json["pretokenizers"]?.array ?? [json]
    guard let bytes = components.last, bytes["type"]?.string == "ByteLevel",
      bytes["add_prefix_space"]?.bool == false
    else { return [] }
    let parts = components.dropLast().map { Part($0, isOnly: components.count == 2) }
    let usesRegex = bytes["use_regex"]?.bool ?? true
    return all.filter { $0.parts == parts && $0.usesRegex == usesRegex }
  }
}

extension GGUFPreTokenizer.Part {
  fileprivate var json: JSONValue {
    switch self {
    case .digits:
      GGUFPreTokenizer.component("Digits", [JSONValue.Member("individual_digits", .bool(true))])
    case .split(let regex):
      GGUFPreTokenizer.component(
        "Split",
        [
          JSONValue.Member("pattern", .object([JSONValue.Member("Regex", .string(regex))])),
          JSONValue.Member("behavior", .string("Isolated")), JSONValue.Member("invert", .bool(false)),
        ])
    }
  }

  /// Reads a component; nil for another kind.
  ///
  /// - Parameters:
  ///   - json: The component.
  ///   - isOnly: Whether no other component splits text. The expression of a single component matches every
  ///     text as a whole, so that removing the text between matches is the same as isolating the matches.
  fileprivate init?(_ json: JSONValue, isOnly: Bool) {
    switch json["type"]?.string {
    case "Digits" where json["individual_digits"]?.bool == true: self = .digits
    case "Split":
      let isInverted = json["invert"]?.bool ?? false
      switch (json["behavior"]?.string, isInverted) {
      case ("Isolated", false): break
      case ("Removed", true) where isOnly: break
      default: return nil
      }
      guard let regex = json["pattern"]?["Regex"]?.string else { return nil }
      self = .split(regex)
    default: return nil
    }
  }
}
