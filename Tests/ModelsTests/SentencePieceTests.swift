import Checkpoints
import Foundation
import Models
import TestSupport
import Testing

/// Texts with the ids that SentencePiece gives (`Scripts/make-sentencepiece-golden.py`).
private enum SentencePieceGolden {
  static let folder = Fixtures.path("sentencepiece")
  static let names = ["bpe", "bpe-rules", "bpe-phrases", "unigram", "unigram-suffix"]

  static func path(_ name: String) -> String { "\(folder)/\(name).model" }

  static func texts() throws -> [String] {
    try #require(try document()["texts"]?.array?.compactMap(\.string))
  }

  static func ids(_ name: String) throws -> [[Int32]] {
    let lists = try #require(try document()["ids"]?[name]?.array)
    return lists.map { ($0.array ?? []).compactMap { $0.integer.map { Int32($0) } } }
  }

  private static func document() throws -> JSONValue { try JSONValue(contentsOf: folder + "/golden.json") }
}

@Suite struct SentencePieceTests {
  @Test(arguments: SentencePieceGolden.names)
  func `gives the ids of SentencePiece`(name: String) throws {
    let tokenizer = try Tokenizer(openedAt: SentencePieceGolden.path(name))
    let (texts, ids) = (try SentencePieceGolden.texts(), try SentencePieceGolden.ids(name))
    #expect(texts.count == ids.count && texts.count > 50)
    for (text, expected) in zip(texts, ids) {
      #expect(tokenizer.encode(text) == expected, "\(text.debugDescription)")
    }
  }

  @Test func `decodes to the text, without the space that was put first`() throws {
    let tokenizer = try Tokenizer(openedAt: SentencePieceGolden.path("bpe"))
    for text in try SentencePieceGolden.texts() {
      let decoded = tokenizer.decode(tokenizer.encode(text))
      #expect(decoded == text.replacing("\u{2581}", with: " "), "\(text.debugDescription)")
    }
  }

  @Test func `a text of one long word does not take quadratic time`() throws {
    let tokenizer = try Tokenizer(openedAt: SentencePieceGolden.path("bpe"))
    let text = String(repeating: "thethe", count: 50_000)
    #expect(tokenizer.decode(tokenizer.encode(text)) == text)
  }

  @Test(arguments: ["bpe", "unigram"])
  func `names pieces`(name: String) throws {
    let tokenizer = try Tokenizer(openedAt: SentencePieceGolden.path(name))
    let id = try #require(tokenizer.id(of: "<|tool|>"))
    #expect(tokenizer.token(id) == "<|tool|>")
    #expect(tokenizer.token(3) == "[INST]")
    #expect(tokenizer.isSpecial(3) && !tokenizer.isSpecial(id))
    #expect(tokenizer.token(Int32(tokenizer.vocabularySize)) == nil)
  }
}

/// Comparison with the `sentencepiece` library of the Python that is found first, where it has one.
@Suite(.enabled(if: PythonPeer.has("sentencepiece"), "skipped: no Python with sentencepiece"))
struct SentencePieceReferenceTests {
  private static let script = """
    import json, sys, sentencepiece
    processor = sentencepiece.SentencePieceProcessor(model_file=sys.argv[1])
    print(json.dumps([processor.encode(text) for text in json.load(open(sys.argv[2], encoding='utf-8'))]))
    """

  private func agree(_ model: String, on texts: [String]) throws {
    let tokenizer = try Tokenizer(openedAt: model)
    let folder = try TemporaryFolder()
    let path = try folder.write("texts", JSONValue.array(texts.map { .string($0) }).compactText)
    let output = try PythonPeer.run(Self.script, [model, path])
    let expected = try #require(try JSONValue(parsing: Array(output.utf8).span.bytes).array)
    try #require(expected.count == texts.count)
    let different = zip(texts, expected).filter { text, expected in
      tokenizer.encode(text).map { Int($0) } != expected.array?.compactMap(\.integer)
    }
    #expect(different.map(\.0.debugDescription) == [])
  }

  @Test(arguments: SentencePieceGolden.names)
  func `agrees on random texts`(name: String) throws {
    try agree(SentencePieceGolden.path(name), on: RandomTexts.make(count: 3000, seed: 53))
  }

  @Test(arguments: SentencePieceGolden.names)
  func `agrees on a whole text`(name: String) throws {
    try agree(SentencePieceGolden.path(name), on: [TokenizerFixtures.text("evaluation.txt")])
  }
}

@Suite struct SentencePieceRuleTests {
  /// A model whose only rules are these bytes.
  private func tokenizer(rules: [UInt8]) throws -> Tokenizer {
    let piece: [UInt8] = [0x0A, 0x09, 0x0A, 0x05] + Array("<unk>".utf8) + [0x18, 0x02]
    let count = [UInt8(rules.count & 0x7F) | 0x80, UInt8(rules.count >> 7)]
    let length = [UInt8((rules.count + 3) & 0x7F) | 0x80, UInt8((rules.count + 3) >> 7)]
    let bytes = piece + [0x1A] + length + [0x12] + count + rules
    return try Tokenizer(parsingSentencePiece: bytes.span.bytes, path: "tokenizer.model")
  }

  @Test(
    arguments: [
      ([1, 2, 3], "3 bytes are too few"), ([5, 0, 0, 0, 0, 0, 0, 0, 0], "a trie of 5 bytes in 9"),
      ([8, 0, 0, 0, 0, 0, 0, 0], "a trie of 8 bytes in 8"), ([0, 0, 0, 0, 0], "a trie of 0 bytes in 5"),
      ([4, 0, 0, 0, 0, 0, 0, 0] + [UInt8](repeating: 0x61, count: 300), "a text of 300 bytes"),
    ] as [([UInt8], String)])
  func `refuses broken rules`(rules: [UInt8], expected: String) throws {
    let error = #expect(throws: FormatError.self) { try tokenizer(rules: rules) }
    #expect("\(try #require(error))".contains("tokenizer.model: normalization rules: \(expected)"))
  }

  @Test func `random rules do not crash`() throws {
    var random = SplitMix64(seed: 5)
    for _ in 0..<300 {
      var rules = [UInt8](repeating: 0, count: 4 + 4 * 64 + 40)
      for i in rules.indices { rules[i] = UInt8.random(in: 0...255, using: &random) }
      rules.replaceSubrange(0..<4, with: [0, 1, 0, 0])
      let tokenizer = try tokenizer(rules: rules)
      #expect(tokenizer.encode("The \u{E9} \u{1F642}\t~").allSatisfy { $0 == 0 })
    }
  }
}

/// `tokenizer_config.json` and `added_tokens.json` beside a model.
@Suite struct SentencePieceSettingsTests {
  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    let model = try Data(contentsOf: URL(filePath: SentencePieceGolden.path("bpe")))
    try folder.write("m/tokenizer.model", Array(model))
  }

  private func tokenizer(_ settings: String? = nil, addedTokens: String? = nil) throws -> Tokenizer {
    if let settings { try folder.write("m/tokenizer_config.json", settings) }
    if let addedTokens { try folder.write("m/added_tokens.json", addedTokens) }
    return try Tokenizer(openedAt: folder.path("m"))
  }

  @Test func `without settings only pieces are found in a text`() throws {
    let tokenizer = try tokenizer()
    let bare = try Tokenizer(openedAt: SentencePieceGolden.path("bpe"))
    #expect(tokenizer.encode("[INST] the<s>") == bare.encode("[INST] the<s>"))
    #expect(!tokenizer.encode("[INST] the<s>").contains(3))
    #expect(tokenizer.prefixTokens == [1])
  }

  @Test func `added tokens are cut out first, and each text gets its space`() throws {
    let tokenizer = try tokenizer(
      """
      {"added_tokens_decoder": {"3": {"content": "[INST]", "special": true},
       "480": {"content": "<x>", "special": false, "lstrip": true, "rstrip": true}}}
      """)
    let bare = try Tokenizer(openedAt: SentencePieceGolden.path("bpe"))
    let the = bare.encode("the")
    #expect(tokenizer.encode("[INST]the") == [3] + the)
    #expect(tokenizer.encode("the  <x>  the") == the + [480] + the)
    #expect(tokenizer.vocabularySize == 481)
    #expect(tokenizer.decode([3] + the + [480], skipSpecialTokens: true) == "the<x>")
  }

  @Test func `with legacy false only the beginning of a text gets a space`() throws {
    let tokenizer = try tokenizer(
      #"{"legacy": false, "added_tokens_decoder": {"3": {"content": "[INST]", "special": true}}}"#)
    let bare = try Tokenizer(openedAt: SentencePieceGolden.path("bpe"))
    #expect(tokenizer.encode("the") == bare.encode("the"))
    #expect(tokenizer.decode(tokenizer.encode("[INST]the[INST] the")) == "[INST]the[INST] the")
    #expect(tokenizer.encode("[INST]the") != [3] + bare.encode("the"))
  }

  @Test func `old folders name their tokens one by one`() throws {
    let tokenizer = try tokenizer(
      #"{"bos_token": {"content": "<s>"}, "eos_token": "</s>", "pad_token": "<pad>", "add_bos_token": false}"#,
      addedTokens: #"{"<pad>": 480, "<more>": 481}"#)
    #expect(tokenizer.encode("<s><pad><more></s>") == [1, 480, 481, 2])
    #expect(tokenizer.isSpecial(480) && !tokenizer.isSpecial(481))
    #expect(tokenizer.prefixTokens == [])
  }

  @Test(arguments: [
    ("[]", "is not an object"), (#"{"legacy": 1}"#, "key 'legacy'"),
    (#"{"added_tokens_decoder": []}"#, "key 'added_tokens_decoder'"),
    (#"{"added_tokens_decoder": {"-1": {"content": "x"}}}"#, "'-1' is not the id"),
    (#"{"added_tokens_decoder": {"99999999999": {"content": "x"}}}"#, "is not the id"),
    (#"{"added_tokens_decoder": {"1": {}}}"#, "token 1 has no text"),
    (#"{"added_tokens_decoder": {"1": {"content": "x"}, "2": {"content": "x"}}}"#, "there twice"),
  ])
  func `refuses settings with the key`(settings: String, expected: String) throws {
    let error = #expect(throws: FormatError.self) { try tokenizer(settings) }
    #expect(error?.path == folder.path("m/tokenizer_config.json"))
    #expect("\(try #require(error))".contains(expected))
  }
}
