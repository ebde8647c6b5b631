import Checkpoints
import Models
import TestSupport
import Testing

/// What is refused, and how it is named.
@Suite struct TokenizerRefusalTests {
  static func message(_ document: JSONValue) -> String {
    do {
      _ = try TokenizerFixtures.tokenizer(document)
      return "accepted"
    } catch {
      return String(describing: error)
    }
  }

  static func typed(_ type: String, _ members: JSONValue.Member...) -> JSONValue {
    .object([.init("type", .string(type))] + members)
  }

  @Test func `names a component that is not supported`() {
    let cases: [(String, JSONValue)] = [
      (
        "pre_tokenizer: 'UnicodeScripts'",
        TokenizerFixtures.document("pre_tokenizer", setting: Self.typed("UnicodeScripts"))
      ),
      (
        "normalizer: 'Precompiled'",
        TokenizerFixtures.document("normalizer", setting: Self.typed("Precompiled"))
      ),
      ("model: 'WordPiece'", TokenizerFixtures.document("model", setting: Self.typed("WordPiece"))),
      ("model: 'Unigram'", TokenizerFixtures.document("model", setting: Self.typed("Unigram"))),
      ("decoder: 'WordPiece'", TokenizerFixtures.document("decoder", setting: Self.typed("WordPiece"))),
      (
        "post_processor: 'BertProcessing'",
        TokenizerFixtures.document("post_processor", setting: Self.typed("BertProcessing"))
      ),
      (
        "pre_tokenizer.pretokenizers[1]: 'Whitespace'",
        TokenizerFixtures.document(
          "pre_tokenizer",
          setting: TokenizerFixtures.sequence(
            Self.typed("Digits", .init("individual_digits", .bool(true))), Self.typed("Whitespace")))
      ),
    ]
    for (expected, document) in cases {
      #expect(Self.message(document).says("tokenizer.json: \(expected) … supported"))
    }
  }

  @Test(arguments: [
    ("dropout", JSONValue.double(0.1), "dropout"),
    ("continuing_subword_prefix", .string("##"), "continuing_subword_prefix"),
    ("end_of_word_suffix", .string("</w>"), "end_of_word_suffix"), ("cache", .bool(true), "key 'cache'"),
  ])
  func `refuses options of the model`(key: String, value: JSONValue, expected: String) {
    let message = Self.message(TokenizerFixtures.document("model", key, setting: value))
    #expect(message.says("tokenizer.json: model: \(expected) … supported"))
  }

  @Test func `refuses a pre-tokenizer after ByteLevel`() {
    let split = TokenizerFixtures.split("String", "-", "Isolated")
    let preTokenizer = TokenizerFixtures.sequence(TokenizerFixtures.byteLevel(), split)
    let message = Self.message(TokenizerFixtures.document("pre_tokenizer", setting: preTokenizer))
    #expect(message.says("tokenizer.json: pre_tokenizer.pretokenizers[1]: … after ByteLevel … supported"))
  }

  @Test func `refuses byte_fallback where a byte has no token`() {
    let document = TokenizerModelTests.withoutByte(0x78, .init("byte_fallback", .bool(true)))
    #expect(Self.message(document).says("tokenizer.json: model: byte_fallback … supported"))
  }

  @Test(arguments: [
    (#"{"type": "Metaspace", "replacement": "ab"}"#, "replacement …"),
    (#"{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "often"}"#, "prepend_scheme 'often' …"),
    (
      #"{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "add_prefix_space": false}"#,
      "add_prefix_space … 'first'"
    ),
  ])
  func `refuses a Metaspace that contradicts itself`(text: String, expected: String) throws {
    let metaspace = try TokenizerFixtures.json(text)
    let message = Self.message(TokenizerFixtures.document("pre_tokenizer", setting: metaspace))
    #expect(message.says("tokenizer.json: pre_tokenizer: \(expected)"))
  }

  @Test(arguments: [
    (#"[{"type": "Fuse"}, {"type": "Metaspace", "replacement": "▁"}]"#, "decoders[1]: Metaspace after Fuse"),
    (#"[{"type": "Fuse"}, {"type": "ByteFallback"}]"#, "decoders[1]: ByteFallback after Fuse"),
    (
      #"[{"type": "Fuse"}, {"type": "Replace", "pattern": {"String": "ab"}, "content": ""}]"#,
      "decoders[1]: after Fuse"
    ),
    (#"[{"type": "Strip", "content": "", "start": 1, "stop": 0}]"#, "decoders[0]: content"),
    (#"[{"type": "Strip", "content": " ", "start": -1, "stop": 0}]"#, "decoders[0]: start and stop"),
  ])
  func `refuses decoders`(parts: String, expected: String) throws {
    let decoder = try TokenizerFixtures.json(#"{"type": "Sequence", "decoders": "# + parts + "}")
    let message = Self.message(TokenizerFixtures.document("decoder", setting: decoder))
    #expect(message.says("tokenizer.json: decoder.\(expected)…"))
  }

  @Test func `refuses a normalized token of which nothing is left`() throws {
    let strip = try TokenizerFixtures.json(#"{"type": "Strip", "strip_left": true, "strip_right": true}"#)
    var document = TokenizerFixtures.document("normalizer", setting: strip)
    document.set("added_tokens", to: .array([TokenizerFixtures.addedToken("  ", "normalized")]))
    #expect(Self.message(document).says("tokenizer.json: … added token 259 … supported"))
  }

  @Test func `names the part of an expression that is not supported`() {
    let split = TokenizerFixtures.split("Regex", #"a\b"#, "Isolated")
    #expect(
      Self.message(TokenizerFixtures.document("pre_tokenizer", setting: split)).says(
        #"tokenizer.json: pre_tokenizer.pattern: '\b' … supported"#))
  }

  @Test(arguments: [
    (JSONValue.integer(-1), "… number … 'new' … integer below 4194304"),
    (.integer(4_194_304), "… number … 'new' … integer below 4194304"),
    (.number("1.5"), "… number … 'new' … integer below 4194304"),
    (.string("1"), "… number … 'new' … integer below 4194304"),
    (.integer(5), "token 5 … twice"),
  ])
  func `refuses token numbers`(number: JSONValue, expected: String) {
    let message = Self.message(TokenizerFixtures.document("model", "vocab", "new", setting: number))
    #expect(message.says("tokenizer.json: model.vocab: \(expected)"))
  }

  @Test(arguments: [
    (JSONValue.string("t"), "merge 0 …"),
    (.string("t h e"), "merge 0 …"),
    (.array([.string("t")]), "merge 0 …"),
    (.integer(1), "merge 0 …"),
    (.string("t zz"), "merge 0: … 'zz' …"),
    (.string("a b"), "merge 0: … 'ab' …"),
  ])
  func `refuses merges`(merge: JSONValue, expected: String) {
    let message = Self.message(TokenizerFixtures.document("model", "merges", setting: .array([merge])))
    #expect(message.says("tokenizer.json: model: \(expected)"))
  }

  @Test func `refuses a repeated merge`() {
    let merges = JSONValue.array([.string("t h"), .string("h e"), .array([.string("t"), .string("h")])])
    #expect(
      Self.message(TokenizerFixtures.document("model", "merges", setting: merges)).says(
        "tokenizer.json: model: merge 2 … merge 0"))
  }

  @Test func `refuses added tokens`() {
    let token = TokenizerFixtures.addedToken
    let cases: [([JSONValue], String)] = [
      ([token("<x>", 300)], "added_tokens[0]: id is 300, expected 259"),
      ([token("the", 259)], "added_tokens[0]: id is 259, expected 258"),
      ([token("<x>", 259), token("<x>", 260)], "added_tokens[1]: is there twice"),
      ([token("", 259)], "added_tokens[0]: content is empty"),
      ([token("<x>", -1)], "added_tokens[0]: id is -1"),
      ([.object([.init("id", .integer(259))])], "added_tokens[0]: key 'content' is missing"),
      ([.integer(1)], "added_tokens[0]: is not an object"),
    ]
    for (tokens, expected) in cases {
      let message = Self.message(TokenizerFixtures.document("added_tokens", setting: .array(tokens)))
      #expect(message.says("tokenizer.json: \(expected)"))
    }
  }

  @Test func `refuses an unknown token that is not in the vocabulary`() {
    #expect(
      Self.message(TokenizerFixtures.document("model", "unk_token", setting: .string("<unk>"))).says(
        "tokenizer.json: model: unk_token '<unk>' …"))
  }

  @Test(arguments: ["model", "decoder"])
  func `refuses a document without a part`(key: String) {
    let members = (TokenizerFixtures.document().object ?? []).filter { $0.key != key }
    #expect(Self.message(.object(members)) != "accepted")
  }

  @Test func `refuses a document that is not JSON, with the byte`() {
    let bytes = Array(#"{"model": }"#.utf8)
    let error = #expect(throws: FormatError.self) {
      try Tokenizer(parsing: bytes.span.bytes, path: "tokenizer.json")
    }
    #expect(error?.byteOffset == 10)
  }

  @Test func `refuses every truncated document`() throws {
    let text = Array(TokenizerFixtures.document().compactText.utf8)
    for count in stride(from: 0, to: text.count, by: 37) {
      #expect(throws: FormatError.self) {
        try Tokenizer(parsing: Array(text[..<count]).span.bytes, path: "tokenizer.json")
      }
    }
  }
}
