import Checkpoints
import TestSupport
import Testing

/// Tokenizers of GGUF files whose texts are not cut into words: `llama` and `gemma4`.
@Suite struct GGUFScoreTokenizerTests {
  private static let tokens = [
    "<unk>", "<s>", "</s>", "<0x0A>", "\u{2581}", "a", "b", "\u{2581}a", "ab", "\u{2581}ab", "  ", "<x>",
    "\u{C5}", "\u{212B}", "\n\n",
  ]
  private static let kinds = [2, 3, 3, 6, 1, 1, 1, 1, 1, 1, 4, 4, 1, 1, 1]
  private static let scores: [Float] = [0, 0, 0, 0, -9, -9, -9, -1, 0, -2, -1000, -1000, -9, -9, -3]

  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func open(_ keys: [String: GGUFValue?]) throws -> Checkpoint {
    var table: [String: GGUFValue?] = [
      "model": .string("llama"),
      "tokens": .array(elementType: .string, Self.tokens.map { .string($0) }),
      "token_type": .array(elementType: .int32, Self.kinds.map { .int32(Int32($0)) }),
      "scores": .array(elementType: .float32, Self.scores.map { .float32($0) }),
    ]
    table.merge(keys) { $1 }
    let sorted = table.compactMapValues(\.self).sorted { $0.key < $1.key }
    let model = GGUFModel {
      ($0.hiddenSize, $0.feedForwardSize, $0.vocabularySize) = (8, 8, Self.tokens.count)
      $0.change = { file in for (key, value) in sorted { file.add("tokenizer.ggml." + key, value) } }
    }
    return try model.open(in: folder)
  }

  private func document(_ keys: [String: GGUFValue?] = [:]) throws -> JSONValue {
    let checkpoint = try open(keys)
    #expect(checkpoint.contents.notices == [])
    return try JSONValue(parsing: #require(try checkpoint.copiedAsset(named: "tokenizer.json")))
  }

  private func merges(_ document: JSONValue) -> [String] {
    (document["model"]?["merges"]?.array ?? []).map {
      ($0.array ?? []).compactMap(\.string).joined(separator: " ")
    }
  }

  @Test func `scores become the merges of every pair, best first`() throws {
    let document = try document()
    #expect(merges(document) == ["a b", "\u{2581} a", "\u{2581}a b", "\u{2581} ab"])
    #expect(document["model"]?["byte_fallback"] == .bool(true))
    #expect(document["model"]?["unk_token"] == .string("<unk>"))
    #expect(document["model"]?["vocab"]?.object?.count == Self.tokens.count)
  }

  @Test func `special and user-defined tokens are cut out of the text`() throws {
    let added = try #require(try document()["added_tokens"]?.array)
    #expect(added.map { $0["content"]?.string } == ["<unk>", "<s>", "</s>", "  ", "<x>"])
    #expect(added.map { $0["special"]?.bool } == [true, true, true, false, false])
  }

  @Test(arguments: [(true, "Sequence"), (false, "Replace")])
  func `a space is put first unless the file says otherwise`(addsSpace: Bool, normalizer: String) throws {
    let document = try document(addsSpace ? [:] : ["add_space_prefix": .bool(false)])
    #expect(document["normalizer"]?["type"] == .string(normalizer))
    #expect(document["pre_tokenizer"] == .null)
    #expect(document["decoder"]?["decoders"]?.array?.count == (addsSpace ? 4 : 3))
  }

  @Test(arguments: [
    ([:], "<s>"), (["bos_token_id": GGUFValue.uint32(2)], "</s>"), (["add_bos_token": .bool(false)], nil),
  ])
  func `texts begin with the usual token`(keys: [String: GGUFValue], expected: String?) throws {
    let first = try document(keys)["post_processor"]?["single"]?.array?.first
    #expect(first?["SpecialToken"]?["id"]?.string == expected)
  }

  @Test func `gemma4 has its own merges, and line breaks are cut out`() throws {
    let document = try document([
      "model": .string("gemma4"), "scores": nil, "add_bos_token": .bool(false), "bos_token_id": .uint32(1),
      "merges": .array(elementType: .string, [.string("a b"), .string("\u{2581} ab")]),
    ])
    #expect(merges(document) == ["a b", "\u{2581} ab"])
    #expect(document["normalizer"]?["type"] == .string("Replace"))
    #expect(document["added_tokens"]?.array?.last?["content"] == .string("\n\n"))
    let first = document["post_processor"]?["single"]?.array?.first
    #expect(first?["SpecialToken"]?["id"] == .string("<s>"))
  }

  private static func scores(_ scores: [Float]) -> GGUFValue {
    .array(elementType: .float32, scores.map { .float32($0) })
  }

  @Test(
    arguments: [
      (nil, "… key 'tokenizer.ggml.scores' …"),
      (.uint32(1), "… key 'tokenizer.ggml.scores': … F32"),
      (scores([1, 2]), "… key 'tokenizer.ggml.scores': 2 … 15 …"),
      (scores([Float](repeating: .nan, count: 15)), "… key 'tokenizer.ggml.scores': … token 0 …"),
    ] as [(GGUFValue?, String)])
  func `refuses scores`(value: GGUFValue?, expected: String) throws {
    let error = #expect(throws: FormatError.self) { try open(["scores": value]) }
    #expect(error?.description.says(expected) == true, "\(error?.description ?? "")")
  }

  @Test func `scores that say nothing leave the tokenizer as it is`() throws {
    let checkpoint = try open(["scores": Self.scores([Float](repeating: -1000, count: 15))])
    #expect(checkpoint.contents.notices.map { $0.says("… same score …") } == [true])
    #expect(checkpoint.contents.assets.map(\.name) == ["config.json", "tokenizer.gguf"])
  }

  @Test func `a piece of the largest size is split everywhere, a larger one is refused`() throws {
    let limit = SentencePieceVocabulary.pieceByteLimit
    func merges(_ count: Int) throws -> Int {
      let texts = ["a", String(repeating: "a", count: count - 1), String(repeating: "a", count: count)]
      let pieces = texts.map { SentencePieceVocabulary.Piece($0, score: 0, kind: .normal) }
      return try SentencePieceVocabulary(pieces).merges(path: "x").count
    }
    #expect(try merges(limit) == 2)
    #expect(throws: FormatError.self) { try merges(limit + 1) }
  }
}
