import Checkpoints
import Models
import TestSupport
import Testing

/// Encoding and decoding, against the tokens that `tokenizers` made.
@Suite struct TokenizerTests {
  struct Golden: Sendable, CustomTestStringConvertible {
    let name: String
    let text: String
    let tokens: [Int32]
    var testDescription: String { "\(name): \(text.debugDescription)" }
  }

  static let golden: [Golden] = {
    let json = try? JSONValue(contentsOf: TokenizerFixtures.folder + "/golden/tokens.json")
    return ["tiny-llama", "smollm2-135m"].flatMap { name in
      (json?[name]?.array ?? []).compactMap { entry in
        guard let pair = entry.array, let text = pair.first?.string else { return nil }
        return Golden(name: name, text: text, tokens: tokens(pair.last))
      }
    }
  }()

  static func tokens(_ json: JSONValue?) -> [Int32] {
    (json?.array ?? []).compactMap { $0.integer.map { Int32($0) } }
  }

  static func tokenizer(_ name: String) throws -> Tokenizer {
    try (name == "tiny-llama" ? TokenizerFixtures.tinyLlama : TokenizerFixtures.smolLM).get()
  }

  @Test func `has golden cases`() { #expect(Self.golden.count == 36) }

  @Test(arguments: golden)
  func `encodes as the reference`(case golden: Golden) throws {
    #expect(try Self.tokenizer(golden.name).encode(golden.text) == golden.tokens)
  }

  @Test(arguments: golden)
  func `decodes what it encoded`(case golden: Golden) throws {
    #expect(try Self.tokenizer(golden.name).decode(golden.tokens) == golden.text)
  }

  @Test(arguments: ["tiny-llama", "smollm2-135m"])
  func `encodes the first tokens of the evaluation text`(name: String) throws {
    let json = try JSONValue(contentsOf: TokenizerFixtures.folder + "/golden/tokens.json")
    let expected = Self.tokens(json["\(name)-evaluation-first-200"])
    try #require(expected.count == 200)
    let text = try TokenizerFixtures.text("evaluation.txt")
    #expect(try Array(Self.tokenizer(name).encode(text).prefix(200)) == expected)
  }

  @Test(arguments: [("evaluation.txt", 54320), ("calibration.txt", 47875)])
  func `makes as many tokens of a text as the reference`(name: String, count: Int) throws {
    let text = try TokenizerFixtures.text(name)
    #expect(try Self.tokenizer("tiny-llama").encode(text).count == count)
  }

  @Test(arguments: ["tiny-llama", "smollm2-135m"], ["evaluation.txt", "calibration.txt"])
  func `gives a text back`(tokenizer name: String, text file: String) throws {
    let tokenizer = try Self.tokenizer(name)
    let text = try TokenizerFixtures.text(file)
    #expect(tokenizer.decode(tokenizer.encode(text)).utf8.elementsEqual(text.utf8))
  }

  @Test func `gives random texts back`() throws {
    let tokenizer = try Self.tokenizer("tiny-llama")
    for text in RandomTexts.make(count: 2000, seed: 41) {
      #expect(tokenizer.decode(tokenizer.encode(text)).utf8.elementsEqual(text.utf8))
    }
  }

  @Test func `encodes bytes as it encodes text`() throws {
    let tokenizer = try Self.tokenizer("tiny-llama")
    let text = "naïve — 日本"
    #expect(try tokenizer.encode(Array(text.utf8), path: "a.txt") == tokenizer.encode(text))
  }

  @Test(arguments: [
    ([0x61, 0xC3], 1), ([0x61, 0x62, 0x80], 2), ([0xED, 0xA0, 0x80], 0), ([0xC3, 0xA9, 0xF8], 2),
  ])
  func `names the byte where a text is not UTF-8`(bytes: [UInt8], offset: Int) throws {
    let tokenizer = try Self.tokenizer("tiny-llama")
    let expected = FormatError("a.txt", byte: offset, .malformed("text is not UTF-8"))
    #expect(throws: expected) { try tokenizer.encode(bytes, path: "a.txt") }
  }

  @Test func `knows its tokens by number and by text`() throws {
    let tokenizer = try Self.tokenizer("smollm2-135m")
    #expect(tokenizer.vocabularySize == 49152)
    #expect(tokenizer.token(905) == "Ġworld")
    #expect(tokenizer.id(of: "Ġworld") == 905)
    #expect(tokenizer.id(of: "<|im_start|>") == 1)
    #expect(tokenizer.token(49152) == nil)
    #expect(tokenizer.token(-1) == nil)
    #expect(tokenizer.id(of: "no such token") == nil)
    #expect(tokenizer.isSpecial(1))
    #expect(!tokenizer.isSpecial(905))
  }

  @Test func `leaves special tokens out when asked`() throws {
    let tokenizer = try Self.tokenizer("smollm2-135m")
    let tokens = tokenizer.encode("<|im_start|>user\nhi<|im_end|>")
    #expect(tokenizer.decode(tokens, skipSpecialTokens: true) == "user\nhi")
    #expect(tokenizer.decode(tokens) == "<|im_start|>user\nhi<|im_end|>")
  }

  @Test func `replaces bytes that are no text`() throws {
    let tokenizer = try TokenizerFixtures.tokenizer(TokenizerFixtures.document())
    #expect(tokenizer.decode([0x61, 0xE2, 0x82, 0x62]) == "a\u{FFFD}b")
    #expect(tokenizer.decodeBytes([0x61, 0xE2, 0x82, 0x62]) == [0x61, 0xE2, 0x82, 0x62])
  }

  @Test func `passes over numbers without a token`() throws {
    let tokenizer = try TokenizerFixtures.tokenizer(TokenizerFixtures.document())
    #expect(tokenizer.decode([0x61, 5000, -1, 0x62]) == "ab")
  }

  @Test func `reads the tokens that a template puts first`() throws {
    let special = JSONValue.object([
      .init("id", .string("<s>")), .init("ids", .array([.integer(7)])),
      .init("tokens", .array([.string("<s>")])),
    ])
    let sequence = JSONValue.object([.init("Sequence", .object([.init("id", .string("A"))]))])
    let template = JSONValue.object([
      .init("type", .string("TemplateProcessing")),
      .init(
        "single",
        .array([.object([.init("SpecialToken", .object([.init("id", .string("<s>"))]))]), sequence])),
      .init("pair", .array([sequence])),
      .init("special_tokens", .object([.init("<s>", special)])),
    ])
    let document = TokenizerFixtures.document("post_processor", setting: template)
    let tokenizer = try TokenizerFixtures.tokenizer(document)
    #expect(tokenizer.prefixTokens == [7])
    #expect(tokenizer.encode("a") == [0x61])
  }
}

/// The model: merges and what is done without them.
@Suite struct TokenizerModelTests {
  @Test func `merges by rank`() throws {
    let tokenizer = try TokenizerFixtures.tokenizer(TokenizerFixtures.document())
    #expect(tokenizer.encode("the") == [258])
    #expect(tokenizer.encode("tthhe") == [0x74, 256, 0x68, 0x65])
  }

  @Test func `reads merges that are written as strings`() throws {
    let merges = JSONValue.array([.string("t h"), .string("th e")])
    let tokenizer = try TokenizerFixtures.tokenizer(
      TokenizerFixtures.document("model", "merges", setting: merges))
    #expect(tokenizer.encode("the") == [258])
  }

  @Test func `takes a whole word first when merges are ignored`() throws {
    let word = "he"  // a token that no merge makes
    let merging = try TokenizerFixtures.tokenizer(TokenizerFixtures.document())
    let ignoring = try TokenizerFixtures.tokenizer(
      TokenizerFixtures.document("model", "ignore_merges", setting: .bool(true)))
    #expect(merging.encode(word) == [0x68, 0x65])
    #expect(ignoring.encode(word) == [257])
  }

  @Test func `merges a long word`() throws {
    let tokenizer = try TokenizerFixtures.tokenizer(TokenizerFixtures.document())
    let word = String(repeating: "the", count: 100_000)
    #expect(tokenizer.encode(word) == [Int32](repeating: 258, count: 100_000))
  }

  static func withoutByte(_ byte: UInt8, _ model: JSONValue.Member...) -> JSONValue {
    let members = TokenizerFixtures.document()["model"]?["vocab"]?.object ?? []
    let text = TokenizerFixtures.byteText(byte)
    var document = TokenizerFixtures.document(
      "model", "vocab", setting: .object(members.filter { $0.key != text }))
    var changed = document["model"] ?? .null
    for member in model { changed.set(member.key, to: member.value) }
    document.set("model", to: changed)
    return document
  }

  @Test func `drops bytes without a token`() throws {
    let tokenizer = try TokenizerFixtures.tokenizer(Self.withoutByte(0x78))
    #expect(tokenizer.encode("axxb") == [0x61, 0x62])
  }

  @Test(arguments: [(false, [0x61, 0x3F, 0x3F, 0x62]), (true, [0x61, 0x3F, 0x62])])
  func `puts the unknown token for bytes without one`(fuses: Bool, expected: [Int32]) throws {
    let tokenizer = try TokenizerFixtures.tokenizer(
      Self.withoutByte(0x78, .init("unk_token", .string("?")), .init("fuse_unk", .bool(fuses))))
    #expect(tokenizer.encode("axxb") == expected)
  }
}
