import Checkpoints
import Foundation
import Models
import TestSupport

/// The tokenizers of `Fixtures/`, and changed or small ones.
enum TokenizerFixtures {
  static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appending(path: "Fixtures").path
  static let tinyLlamaPath = folder + "/tiny-llama/tokenizer.json"
  static let smolLMPath = folder + "/smollm2-tokenizer/tokenizer.json"

  static let tinyLlama = Result { try Tokenizer(contentsOf: tinyLlamaPath) }
  static let smolLM = Result { try Tokenizer(contentsOf: smolLMPath) }

  /// The contents of a text of tiny-llama.
  static func text(_ name: String) throws -> String {
    try String(contentsOfFile: folder + "/tiny-llama/" + name, encoding: .utf8)
  }

  /// A tokenizer of the 256 bytes, numbered by value, then `th`, `he` and `the`.
  static func document() -> JSONValue {
    let bytes = (0..<256).map { JSONValue.Member(byteText(UInt8($0)), .integer($0)) }
    let words = ["th", "he", "the"].enumerated().map { JSONValue.Member($1, .integer(256 + $0)) }
    return .object([
      .init("version", .string("1.0")),
      .init("added_tokens", .array([])),
      .init("normalizer", .null),
      .init("pre_tokenizer", byteLevel()),
      .init("post_processor", .null),
      .init("decoder", byteLevel()),
      .init(
        "model",
        .object([
          .init("type", .string("BPE")),
          .init("vocab", .object(bytes + words)),
          .init(
            "merges", .array([.array([.string("t"), .string("h")]), .array([.string("th"), .string("e")])])),
        ])),
    ])
  }

  /// `document` with the value at a path of keys replaced.
  static func document(_ keys: String..., setting value: JSONValue) -> JSONValue {
    func set(_ json: JSONValue, _ keys: ArraySlice<String>) -> JSONValue {
      guard let key = keys.first else { return value }
      var json = json
      json.set(key, to: set(json[key] ?? .object([]), keys.dropFirst()))
      return json
    }
    return set(document(), keys[...])
  }

  /// A tokenizer made from a document.
  static func tokenizer(_ document: JSONValue) throws -> Tokenizer {
    try Tokenizer(parsing: document, path: "tokenizer.json")
  }

  /// A component as `tokenizer.json` writes it.
  static func json(_ text: String) throws -> JSONValue { try JSONValue(parsing: Array(text.utf8)) }

  static func byteLevel(prefixSpace: Bool = false, regex: Bool = true) -> JSONValue {
    .object([
      .init("type", .string("ByteLevel")), .init("add_prefix_space", .bool(prefixSpace)),
      .init("trim_offsets", .bool(true)), .init("use_regex", .bool(regex)),
    ])
  }

  static func split(_ kind: String, _ pattern: String, _ behavior: String, invert: Bool = false) -> JSONValue
  {
    .object([
      .init("type", .string("Split")), .init("pattern", .object([.init(kind, .string(pattern))])),
      .init("behavior", .string(behavior)), .init("invert", .bool(invert)),
    ])
  }

  static func sequence(_ parts: JSONValue...) -> JSONValue {
    .object([.init("type", .string("Sequence")), .init("pretokenizers", .array(parts))])
  }

  static func addedToken(_ content: String, id: Int = 259, _ flags: String...) -> JSONValue {
    let names = ["special", "lstrip", "rstrip", "single_word", "normalized"]
    return .object(
      [.init("id", .integer(id)), .init("content", .string(content))]
        + names.map { .init($0, .bool(flags.contains($0))) })
  }

  /// The character that stands for a byte, by GPT-2's rule.
  static func byteText(_ byte: UInt8) -> String {
    func isPlain(_ byte: UInt8) -> Bool {
      (33...126).contains(byte) || (161...172).contains(byte) || byte >= 174
    }
    let value = isPlain(byte) ? UInt32(byte) : 256 + UInt32((0..<byte).count { !isPlain($0) })
    return Unicode.Scalar(value).map { String($0) } ?? ""
  }
}

/// Texts that stress the cutting of words.
enum RandomTexts {
  private static let fragments = [
    " ", "  ", "   \n", "\n", "\r\n", "\t", "\u{85}", "\u{A0}", "\u{3000}", "\u{2028}", "'s", "'S", "'ſ",
    "'LL", "'re",
    "’s", "the", " The", "naïve", "e\u{301}", "e\u{301}e\u{301}", "éé", "\u{301}", "ǅ", "ß", "日本語", "العربية",
    "हिन्दी", "०१२", "½", "Ⅷ",
    "12345",
    "3.14", "🙂", "👩‍👩‍👧", "\u{200D}", "\u{200B}", "\u{FEFF}", "\u{0}", "\u{7F}", "_", "…", "—", "()", "!?",
    "<|im_start|>", "<|endoftext|>", "<|begin_of_text|>", "<|im", "|>", "ﬁ", "Å", "\u{212B}", "가",
    "\u{1112}\u{1161}",
  ]

  /// Texts of up to 24 parts: fragments, ASCII, and scalars of all planes.
  static func make(count: Int, seed: UInt64) -> [String] {
    var random = SplitMix64(seed: seed)
    return (0..<count).map { _ in
      var text = ""
      for _ in 0..<Int.random(in: 0...24, using: &random) {
        switch Int.random(in: 0..<6, using: &random) {
        case 0...2: text += fragments.randomElement(using: &random) ?? ""
        case 3: text.unicodeScalars.append(scalar(below: 0x80, &random))
        case 4: text.unicodeScalars.append(scalar(below: 0x3400, &random))
        default: text.unicodeScalars.append(scalar(below: 0x110000, &random))
        }
      }
      return text
    }
  }

  private static func scalar(below limit: UInt32, _ random: inout SplitMix64) -> Unicode.Scalar {
    Unicode.Scalar(UInt32.random(in: 0..<limit, using: &random)) ?? "\u{FFFD}"
  }
}
