import Checkpoints
import TestSupport
import Testing

/// Tokens with marks that join the character before them, as the vowels of Devanagari do.
///
/// A search for a space does not find one that such a mark follows.
@Suite struct GGUFExportMarkTests {
  private static let (consonant, vowel, space) = ("\u{939}", "\u{948}", "\u{2581}")
  /// In the order of their ids, after the unknown token and the bytes.
  private static let pieces = [
    space, consonant, vowel, "f", "e", "r", consonant + vowel, space + consonant, space + consonant + vowel,
    "er", "fer",
  ]
  /// What makes `pieces`, best first.
  private static let merges = [
    [consonant, vowel], [space, consonant], [space, consonant + vowel], [space + consonant, vowel],
    ["e", "r"], ["f", "er"],
  ]

  private static func document(added: [String] = []) -> JSONValue {
    let bytes = (0..<256).map { byte in
      let digits = String(byte, radix: 16, uppercase: true)
      return "<0x" + (digits.count < 2 ? "0" : "") + digits + ">"
    }
    let tokens = ["<unk>"] + bytes + pieces + added
    return .object([
      .init(
        "added_tokens",
        .array(
          added.enumerated().map { index, text in
            .object([
              .init("id", .integer(tokens.count - added.count + index)), .init("content", .string(text)),
              .init("single_word", .bool(false)), .init("lstrip", .bool(false)),
              .init("rstrip", .bool(false)), .init("normalized", .bool(false)),
              .init("special", .bool(false)),
            ])
          })),
      .init(
        "normalizer",
        .object([
          .init("type", .string("Replace")), .init("pattern", .object([.init("String", .string(" "))])),
          .init("content", .string(space)),
        ])),
      .init(
        "model",
        .object([
          .init("type", .string("BPE")), .init("unk_token", .string("<unk>")), .init("fuse_unk", .bool(true)),
          .init("byte_fallback", .bool(true)),
          .init("vocab", .object(tokens.enumerated().map { .init($1, .integer($0)) })),
          .init("merges", .array(merges.map { .array($0.map { .string($0) }) })),
        ])),
    ])
  }

  private func value(_ key: String, _ document: JSONValue) throws -> [GGUFValue] {
    let count = document["model"]?["vocab"]?.object?.count ?? 0
    let tokenizer = try GGUFExportTokenizer(
      tokenizer: document, settings: .object([]), configuration: .object([]),
      templates: ChatTemplates(files: [], settings: .object([]), path: "tokenizer_config.json"),
      vocabularySize: count, path: "tokenizer.json")
    let value = tokenizer.members.first { $0.key == "tokenizer.ggml." + key }?.value
    return try #require(value?.array)
  }

  @Test func `merges with a mark after the space between both sides count`() throws {
    let scores = try value("scores", Self.document()).suffix(Self.pieces.count)
    let unmerged = Float(-Self.merges.count)
    let expected = [Float](repeating: unmerged, count: 6) + [0, -1, -2, -4, -5]
    #expect(scores.map { $0 } == expected.map { .float32($0) })
  }

  @Test func `a token looked for in texts has a space also before a mark`() throws {
    let token = "<" + Self.space + Self.vowel + ">"
    let tokens = try value("tokens", Self.document(added: [token]))
    #expect(tokens.last == .string("< " + Self.vowel + ">"))
    #expect(Array((tokens.last?.string ?? "").unicodeScalars) == Array("< \u{948}>".unicodeScalars))
  }
}
