import Checkpoints
import Foundation
import Models
import TestSupport
import Testing

/// The four tokenizers of `Fixtures/tokenizers/`, against what `tokenizers` 0.23 made.
@Suite struct CharacterTokenizerTests {
  static let golden = try? JSONValue(contentsOf: Fixtures.path("tokenizers/golden.json"))
  static let names = (golden?["tokenizers"]?.object ?? []).map(\.key)

  static func tokenizer(_ name: String) throws -> Tokenizer {
    try Tokenizer(contentsOf: Fixtures.path("tokenizers/\(name).json"))
  }

  static func part(_ name: String, _ key: String) throws -> [JSONValue] {
    try #require(golden?["tokenizers"]?[name]?[key]?.array)
  }

  static func texts() throws -> [String] { try #require(golden?["texts"]?.array).compactMap(\.string) }

  @Test func `has golden cases`() throws {
    #expect(Self.names == ["llama2", "llama2-metaspace", "phi3", "gemma"])
    #expect(try Self.texts().count == 67)
  }

  @Test(arguments: names)
  func `encodes as the reference`(name: String) throws {
    let tokenizer = try Self.tokenizer(name)
    let expected = try Self.part(name, "ids").map(TokenizerTests.tokens)
    let texts = try Self.texts()
    try #require(texts.count == expected.count)
    #expect(zip(texts, expected).filter { tokenizer.encode($0) != $1 }.map(\.0) == [])
    #expect(try tokenizer.prefixTokens == TokenizerTests.tokens(.array(Self.part(name, "prefix"))))
  }

  @Test(arguments: names)
  func `decodes as the reference`(name: String) throws {
    let tokenizer = try Self.tokenizer(name)
    let expected = try Self.part(name, "decoded").map { try #require($0.string) }
    let decoded = try Self.part(name, "ids").map { tokenizer.decode(TokenizerTests.tokens($0)) }
    #expect(decoded == expected)
    for sequence in try Self.part(name, "sequences") {
      #expect(tokenizer.decode(TokenizerTests.tokens(sequence.array?.first)) == sequence.array?.last?.string)
    }
  }

  @Test(arguments: names)
  func `a stream gives what decoding at once gives`(name: String) throws {
    let tokenizer = try Self.tokenizer(name)
    let sequences = try Self.part(name, "ids") + Self.part(name, "sequences").compactMap { $0.array?.first }
    for tokens in sequences.map(TokenizerTests.tokens) {
      var stream = TextStream(tokenizer)
      var text = tokens.map { stream.append($0) }.joined()
      text += stream.finish()
      #expect(text.utf8.elementsEqual(tokenizer.decode(tokens.filter { !tokenizer.isSpecial($0) }).utf8))
    }
  }

  @Test func `a character arrives when its last byte has and another token follows`() throws {
    let tokenizer = try Self.tokenizer("llama2")
    var stream = TextStream(tokenizer)
    let parts = [243, 162, 155, 131, 969].map { stream.append(Int32($0)) }
    #expect(parts == ["", "", "", "", "😀a"])
  }

  @Test func `bytes of a character that is cut off become replacements at the end`() throws {
    var stream = TextStream(try Self.tokenizer("llama2"))
    #expect([243, 162].map { stream.append(Int32($0)) } == ["", ""])
    #expect(stream.finish() == "\u{FFFD}\u{FFFD}")
    #expect(stream.finish().isEmpty)
  }

  @Test func `only the text that begins with a token loses the space of its first word`() throws {
    let tokenizer = try Self.tokenizer("llama2")
    let tokens = tokenizer.encode("the the")
    var whole = TextStream(tokenizer)
    #expect(tokens.map { whole.append($0) }.joined() == "the the")
    var continuation = TextStream(tokenizer, after: tokenizer.prefixTokens + Array(tokens.dropLast()))
    #expect(continuation.append(tokens[tokens.count - 1]) == " the")
    var begun = TextStream(tokenizer, after: tokenizer.prefixTokens)
    #expect(begun.append(tokens[0]) == "the")
  }

  /// Tried merge by merge over the whole text, this would take minutes.
  @Test(.timeLimit(.minutes(1)), arguments: names)
  func `a long text without spaces is encoded in time and gives itself back`(name: String) throws {
    let tokenizer = try Self.tokenizer(name)
    for unit in ["a", "the", "日", "thethe\u{2581}"] {
      let text = "x" + String(repeating: unit, count: 50_000 / unit.utf8.count)
      let decoded = tokenizer.decode(tokenizer.encode(text))
      #expect(decoded.utf8.elementsEqual(text.replacing("\u{2581}", with: " ").utf8), "\(unit)")
    }
  }
}

/// All tokenizers of a folder `families`: `RILQ_FAMILIES`, or `../shared/families` beside the package.
@Suite(.enabled(if: FamilyTokenizers.exists, "skipped: RILQ_FAMILIES names no folder with tokenizers"))
struct TokenizerFamilyTests {
  @Test func `there are 25`() { #expect(FamilyTokenizers.names.count == 25) }

  @Test(arguments: FamilyTokenizers.names)
  func `encodes and decodes as the reference`(name: String) throws {
    let tokenizer = try Tokenizer(contentsOf: "\(FamilyTokenizers.folder)/tokenizers/\(name)/tokenizer.json")
    let golden = try JSONValue(contentsOf: "\(FamilyTokenizers.folder)/golden/tokenizer-\(name).json")
    #expect(tokenizer.vocabularySize == golden["vocabulary_size"]?.integer)

    let strings = try #require(golden["strings"]?.array)
    #expect(strings.count == 67)
    for string in strings {
      let text = try #require(string["text"]?.string)
      let tokens = tokenizer.encode(text)
      let special = TokenizerTests.tokens(string["ids_with_special"])
      #expect(tokens == TokenizerTests.tokens(string["ids"]), "\(text.debugDescription)")
      #expect(tokenizer.prefixTokens + tokens == special, "\(text.debugDescription)")
      #expect(same(tokenizer.decode(tokens), string["decoded"]), "\(text.debugDescription)")
      #expect(
        same(tokenizer.decode(tokens, skipSpecialTokens: true), string["decoded_without_special"]),
        "\(text.debugDescription)")
    }
    for (id, text) in try #require(golden["decoded_single_tokens"]?.array).enumerated() {
      #expect(same(tokenizer.decode([Int32(id)]), text), "token \(id)")
    }
    for sequence in try #require(golden["decoded_sequences"]?.array) {
      let tokens = TokenizerTests.tokens(sequence["ids"])
      #expect(same(tokenizer.decode(tokens), sequence["decoded"]), "\(tokens)")
    }
  }

  private func same(_ text: String, _ expected: JSONValue?) -> Bool {
    expected?.string.map { $0.utf8.elementsEqual(text.utf8) } ?? false
  }
}

/// Where the tokenizers of decoder families are.
enum FamilyTokenizers {
  static let folder =
    ProcessInfo.processInfo.environment["RILQ_FAMILIES"] ?? Fixtures.root + "/../shared/families"
  static let names = ((try? FileManager.default.contentsOfDirectory(atPath: folder + "/tokenizers")) ?? [])
    .sorted()
  static let exists = !names.isEmpty
}
