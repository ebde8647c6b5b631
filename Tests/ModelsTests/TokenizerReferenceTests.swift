import Checkpoints
import Foundation
import Models
import TestSupport
import Testing

/// Comparison with the `tokenizers` library of the Python that is found first, where it has one.
@Suite(.enabled(if: PythonPeer.has("tokenizers"), "skipped: no Python with tokenizers"))
struct TokenizerReferenceTests {
  @Test(arguments: [TokenizerFixtures.tinyLlamaPath, TokenizerFixtures.smolLMPath])
  func `agrees on random texts`(path: String) throws {
    let tokenizer = try Tokenizer(contentsOf: path)
    let texts = RandomTexts.make(count: 5000, seed: 43)
    let expected = try ReferenceTokenizers.run(path, texts)
    let different = zip(texts, expected).filter { text, expected in
      let tokens = tokenizer.encode(text)
      let decoded = tokenizer.decode(tokens, skipSpecialTokens: true)
      return tokens != expected.tokens || !decoded.utf8.elementsEqual(expected.decoded.utf8)
    }
    #expect(different.map(\.0.debugDescription) == [])
  }

  struct Document: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let preTokenizer: JSONValue

    init(_ name: String, _ preTokenizer: JSONValue) {
      testDescription = name
      self.preTokenizer = preTokenizer
    }
  }

  static let documents = [
    Document("GPT-2", TokenizerFixtures.byteLevel()),
    Document("GPT-2 after a space", TokenizerFixtures.byteLevel(prefixSpace: true)),
    Document("Llama 3", split(TokenizerSplitTests.llama3)),
    Document("Qwen 2", split(TokenizerSplitTests.qwen2)),
    Document("every kind of scalar", split(#"\p{Lu}|\p{Ll}+|\p{M}+|\p{P}|\p{S}+|\p{Z}+|\p{C}"#)),
    Document("merged matches", split(#"\s+|\p{N}"#, "MergedWithPrevious")),
    Document("what is between matches", split(#"\p{L}+|[\r\n]"#, "MergedWithNext", invert: true)),
    Document("runs of matches", split(#"\p{L}|['’]"#, "Contiguous")),
  ]

  static func split(_ regex: String, _ behavior: String = "Isolated", invert: Bool = false) -> JSONValue {
    TokenizerFixtures.sequence(
      TokenizerFixtures.split("Regex", regex, behavior, invert: invert),
      TokenizerFixtures.byteLevel(regex: false))
  }

  @Test(arguments: documents, ["", "NFC"])
  func `agrees for other documents`(case named: Document, normalizer: String) throws {
    var document = TokenizerFixtures.document("pre_tokenizer", setting: named.preTokenizer)
    if !normalizer.isEmpty { document.set("normalizer", to: .object([.init("type", .string(normalizer))])) }
    // Every pair of ASCII letters, and of a space and a byte, shows where words were cut.
    document = Self.mergingPairs(document)
    document.set(
      "added_tokens",
      to: .array([
        TokenizerFixtures.addedToken("<|im", id: Self.firstFree(document), "lstrip", "special"),
        TokenizerFixtures.addedToken("|>", id: Self.firstFree(document) + 1, "rstrip", "normalized"),
        TokenizerFixtures.addedToken("the", id: 258, "single_word"),
        TokenizerFixtures.addedToken("e\u{301}é", id: Self.firstFree(document) + 2, "normalized"),
      ]))
    let path = try Self.write(document)
    defer { try? FileManager.default.removeItem(atPath: path) }

    let tokenizer = try Tokenizer(contentsOf: path)
    let texts = RandomTexts.make(count: 2000, seed: 47)
    let expected = try ReferenceTokenizers.run(path, texts)
    let different = zip(texts, expected).filter { tokenizer.encode($0) != $1.tokens }
    #expect(different.map(\.0.debugDescription) == [])
  }

  /// Changes of the tokenizer of Llama 2: the keys of the document, or of its model after a dot, as JSON.
  static let characterDocuments: [(name: String, changes: [(key: String, json: String)])] = [
    ("as it is", []),
    (
      "Metaspace at words",
      [("normalizer", "null"), ("pre_tokenizer", metaspace("first", splits: true))]
    ),
    (
      "Metaspace always, and its decoder",
      [
        ("normalizer", "null"), ("pre_tokenizer", metaspace("always", splits: false)),
        ("decoder", metaspace("always", splits: false)),
      ]
    ),
    (
      "Metaspace never, whole words",
      [
        ("normalizer", "null"), ("pre_tokenizer", metaspace("never", splits: true)),
        (".ignore_merges", "true"),
        ("decoder", metaspace("never", splits: true)),
      ]
    ),
    (
      "a Sequence before Metaspace",
      [
        ("normalizer", "null"),
        (
          "pre_tokenizer",
          #"{"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true}, "#
            + #"{"type": "Split", "pattern": {"String": "the"}, "behavior": "MergedWithNext", "invert": false}, "#
            + metaspace("first", splits: false) + "]}"
        ),
      ]
    ),
    (
      "white space left out",
      [("normalizer", "null"), ("pre_tokenizer", #"{"type": "WhitespaceSplit"}"#)]
    ),
    (
      "lower case and no accents",
      [("normalizer", sequence(#"{"type": "NFD"}, {"type": "Lowercase"}, {"type": "StripAccents"}"#))]
    ),
    (
      "no space at the ends, several as one",
      [
        (
          "normalizer",
          sequence(
            #"{"type": "Strip", "strip_left": true, "strip_right": true}, "#
              + #"{"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"}, {"type": "Prepend", "prepend": "▁"}"#
          )
        )
      ]
    ),
    ("nothing for the normalizer to do", [("normalizer", sequence(""))]),
    ("unknown characters as one", [(".byte_fallback", "false")]),
    ("each unknown character", [(".byte_fallback", "false"), (".fuse_unk", "false")]),
    ("unknown characters left out", [(".byte_fallback", "false"), (".unk_token", "null")]),
    (
      "a decoder of each token",
      [
        (
          "decoder",
          #"{"type": "Sequence", "decoders": [{"type": "ByteFallback"}, "#
            + #"{"type": "Strip", "content": "▁", "start": 1, "stop": 0}]}"#
        )
      ]
    ),
    (
      "a decoder of the whole text",
      [
        (
          "decoder",
          #"{"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}, "#
            + #"{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, "#
            + #"{"type": "Strip", "content": " ", "start": 2, "stop": 0}]}"#
        )
      ]
    ),
  ]

  private static func metaspace(_ scheme: String, splits: Bool) -> String {
    #"{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "\#(scheme)", "split": \#(splits)}"#
  }

  private static func sequence(_ normalizers: String) -> String {
    #"{"type": "Sequence", "normalizers": [\#(normalizers)]}"#
  }

  @Test(arguments: characterDocuments.indices)
  func `agrees for texts of characters`(index: Int) throws {
    var document = try JSONValue(contentsOf: Fixtures.path("tokenizers/llama2.json"))
    for (key, json) in Self.characterDocuments[index].changes {
      let value = try TokenizerFixtures.json(json)
      guard key.hasPrefix(".") else {
        document.set(key, to: value)
        continue
      }
      var model = try #require(document["model"])
      model.set(String(key.dropFirst()), to: value)
      document.set("model", to: model)
    }
    document.set(
      "added_tokens",
      to: .array([
        TokenizerFixtures.addedToken("<unk>", id: 0, "special"),
        TokenizerFixtures.addedToken("<s>", id: 1, "special", "normalized"),
        TokenizerFixtures.addedToken("</s>", id: 2, "special", "rstrip"),
        TokenizerFixtures.addedToken("<|im", id: 1024, "lstrip"),
        TokenizerFixtures.addedToken("\n\n", id: 1025),
      ]))
    let path = try Self.write(document)
    defer { try? FileManager.default.removeItem(atPath: path) }
    let tokenizer = try Tokenizer(contentsOf: path)
    // The normalizers of `tokenizers` have the tables of Unicode 9.
    let texts = RandomTexts.make(count: 1000, seed: 53).map { text in
      String(
        String.UnicodeScalarView(
          text.unicodeScalars.filter { $0.properties.age.map { $0.major <= 9 } ?? true }))
    }
    let expected = try ReferenceTokenizers.run(path, texts)
    let different = zip(texts, expected).filter { text, expected in
      let tokens = tokenizer.encode(text)
      let decoded = tokenizer.decode(tokens, skipSpecialTokens: true)
      return tokens != expected.tokens || !decoded.utf8.elementsEqual(expected.decoded.utf8)
    }
    #expect(different.map(\.0.debugDescription) == [], "\(Self.characterDocuments[index].name)")
  }

  @Test(arguments: ["L", "N", "M", "P", "S", "Z", "C"])
  func `puts every scalar into the same category`(category: String) throws {
    let removing = Self.split("\\p{\(category)}", "Removed")
    let path = try Self.write(TokenizerFixtures.document("pre_tokenizer", setting: removing))
    defer { try? FileManager.default.removeItem(atPath: path) }
    // Beyond, only U+E0000…U+E01EF are assigned, or the scalars are for private use.
    let texts = stride(from: UInt32(0), to: 0x40000, by: 256).map { start in
      String(String.UnicodeScalarView((start..<start + 256).compactMap { Unicode.Scalar($0) }))
    }
    let tokenizer = try Tokenizer(contentsOf: path)
    let expected = try ReferenceTokenizers.run(path, texts)
    let different = zip(texts, expected).filter { tokenizer.encode($0) != $1.tokens }
    #expect(different.map(\.0.debugDescription) == [])
  }

  private static func write(_ document: JSONValue) throws -> String {
    let path = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString + ".json").path
    try Data(document.compactText.utf8).write(to: URL(filePath: path))
    return path
  }

  private static func firstFree(_ document: JSONValue) -> Int {
    document["model"]?["vocab"]?.object?.count ?? 0
  }

  private static func mergingPairs(_ document: JSONValue) -> JSONValue {
    var vocab = document["model"]?["vocab"]?.object ?? []
    var merges = document["model"]?["merges"]?.array ?? []
    let characters = (0..<256).map { TokenizerFixtures.byteText(UInt8($0)) }
    let known = Set(vocab.map(\.key))
    for left in [" ", "\n", "'", "e", "s", "1", "日"].compactMap(\.utf8.last) {
      for right in 0..<256 where !known.contains(characters[Int(left)] + characters[right]) {
        vocab.append(.init(characters[Int(left)] + characters[right], .integer(vocab.count)))
        merges.append(.array([.string(characters[Int(left)]), .string(characters[right])]))
      }
    }
    var model = document["model"] ?? .null
    model.set("vocab", to: .object(vocab))
    model.set("merges", to: .array(merges))
    var document = document
    document.set("model", to: model)
    return document
  }

  @Test(arguments: [TokenizerFixtures.tinyLlamaPath, TokenizerFixtures.smolLMPath])
  func `agrees on the texts of the fixtures`(path: String) throws {
    let texts = try ["evaluation.txt", "calibration.txt"].map { try TokenizerFixtures.text($0) }
    let tokenizer = try Tokenizer(contentsOf: path)
    #expect(try texts.map(tokenizer.encode) == ReferenceTokenizers.run(path, texts).map(\.tokens))
  }

  /// `RILQ_WIKITEXT` names a folder with texts of WikiText-2, `*.txt`.
  static let wikiText = ProcessInfo.processInfo.environment["RILQ_WIKITEXT"]

  @Test(
    .enabled(if: wikiText != nil, "RILQ_WIKITEXT is not set"),
    arguments: [TokenizerFixtures.tinyLlamaPath, TokenizerFixtures.smolLMPath])
  func `agrees on WikiText-2`(path: String) throws {
    let folder = try #require(Self.wikiText)
    let names = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".txt") }
    let texts = try names.map { try String(contentsOfFile: folder + "/" + $0, encoding: .utf8) }
    try #require(!texts.isEmpty)
    let tokenizer = try Tokenizer(contentsOf: path)
    #expect(try texts.map(tokenizer.encode) == ReferenceTokenizers.run(path, texts).map(\.tokens))
  }
}

/// Runs the reference library on a `tokenizer.json`.
private enum ReferenceTokenizers {
  struct Failure: Error {}

  /// Writes the counts of tokens, all tokens, and the decoded texts as a list.
  private static let script = """
    import array, json, sys
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(sys.argv[1])
    texts = json.load(open(sys.argv[2], encoding='utf-8'))
    ids = [e.ids for e in tokenizer.encode_batch(texts, add_special_tokens=False)]
    numbers = [len(x) for x in ids] + [id for x in ids for id in x]
    array.array('i', numbers).tofile(open(sys.argv[3], 'wb'))
    json.dump([tokenizer.decode(x) for x in ids], open(sys.argv[4], 'w'))
    """

  /// The tokens of each text, and the text of the tokens that are not special.
  static func run(_ tokenizer: String, _ texts: [String]) throws -> [(tokens: [Int32], decoded: String)] {
    let folder = try TemporaryFolder()
    let paths = ["texts", "tokens", "decoded"].map(folder.path)
    try folder.write("texts", JSONValue.array(texts.map { .string($0) }).compactText)
    try PythonPeer.run(script, [tokenizer] + paths)

    let bytes = try folder.read("tokens")
    let numbers = stride(from: 0, to: bytes.count, by: 4).map { i in
      (0..<4).reduce(Int32(0)) { $0 | Int32(bytes[i + $1]) << (8 * $1) }
    }
    let decoded = try JSONValue(contentsOf: paths[2]).array ?? []
    guard decoded.count == texts.count else { throw Failure() }
    var start = texts.count
    return texts.indices.map { i in
      defer { start += Int(numbers[i]) }
      return (Array(numbers[start..<start + Int(numbers[i])]), decoded[i].string ?? "")
    }
  }
}
