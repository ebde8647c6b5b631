import Checkpoints
import Models
import Testing

/// Tokens that are cut out of the text first; the expected tokens are those of `tokenizers` 0.23.
@Suite struct TokenizerAddedTokenTests {
  static func encode(_ text: String, _ tokens: JSONValue..., normalizer: JSONValue = .null) throws -> [Int32]
  {
    var document = TokenizerFixtures.document("added_tokens", setting: .array(tokens))
    document.set("normalizer", to: normalizer)
    return try TokenizerFixtures.tokenizer(document).encode(text)
  }

  @Test func `finds a token inside a word`() throws {
    #expect(try Self.encode("a<x>b", TokenizerFixtures.addedToken("<x>")) == [0x61, 259, 0x62])
  }

  @Test func `takes the longest of the leftmost`() throws {
    let tokens = [TokenizerFixtures.addedToken("<x"), TokenizerFixtures.addedToken("<x>", id: 260)]
    #expect(try Self.encode("<x><x", tokens[0], tokens[1]) == [260, 259])
  }

  @Test func `strips the space before`() throws {
    let token = TokenizerFixtures.addedToken("<x>", "lstrip")
    #expect(try Self.encode("a \n\u{3000}<x> b", token) == [0x61, 259, 0x20, 0x62])
  }

  @Test func `strips the space after`() throws {
    let token = TokenizerFixtures.addedToken("<x>", "rstrip")
    #expect(try Self.encode("a <x> \t\u{A0}b", token) == [0x61, 0x20, 259, 0x62])
  }

  @Test func `gives space between two tokens to one of them`() throws {
    let token = TokenizerFixtures.addedToken("<x>", "lstrip", "rstrip")
    #expect(try Self.encode(" <x>  <x> ", token) == [259, 259])
  }

  @Test(arguments: [
    ("xy", [259]), ("xy xy", [259, 0x20, 259]), ("axy", [0x61, 0x78, 0x79]), ("xy_", [0x78, 0x79, 0x5F]),
    ("(xy)", [0x28, 259, 0x29]), ("éxy", [0xC3, 0xA9, 0x78, 0x79]), ("—xy", [0xE2, 0x80, 0x94, 259]),
  ])
  func `finds single words only beside other characters`(text: String, expected: [Int32]) throws {
    #expect(try Self.encode(text, TokenizerFixtures.addedToken("xy", "single_word")) == expected)
  }

  @Test func `looks for exact tokens before normalized ones`() throws {
    let tokens = [
      TokenizerFixtures.addedToken("ab", "normalized"), TokenizerFixtures.addedToken("bc", id: 260),
    ]
    #expect(try Self.encode("abc", tokens[0], tokens[1]) == [0x61, 260])
  }

  @Test func `looks for normalized tokens in normalized text`() throws {
    let nfc = JSONValue.object([.init("type", .string("NFC"))])
    let normalized = TokenizerFixtures.addedToken("e\u{301}", "normalized")
    let exact = TokenizerFixtures.addedToken("e\u{301}")
    #expect(try Self.encode("\u{E9}", normalized, normalizer: nfc) == [259])
    #expect(try Self.encode("\u{E9}", exact, normalizer: nfc) == [0xC3, 0xA9])
  }

  @Test func `may be a token of the vocabulary`() throws {
    #expect(try Self.encode("other", TokenizerFixtures.addedToken("the", id: 258)) == [0x6F, 258, 0x72])
  }

  @Test func `are decoded as they are written`() throws {
    let tokens = JSONValue.array([TokenizerFixtures.addedToken("<a b>")])
    let tokenizer = try TokenizerFixtures.tokenizer(
      TokenizerFixtures.document("added_tokens", setting: tokens))
    #expect(tokenizer.decode([259]) == "<a b>")
    #expect(tokenizer.vocabularySize == 260)
    #expect(tokenizer.id(of: "<a b>") == 259)
  }
}
