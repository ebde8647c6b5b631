import Checkpoints
import Foundation
import TestSupport
import Testing

@Suite struct GGUFExportSentencePieceTests {
  private func tokenizer(
    _ name: String, settings: String = "{}", vocabularySize: Int = 500
  ) throws -> GGUFExportTokenizer {
    let file = try SentencePieceFile(contentsOf: Fixtures.path("sentencepiece/\(name).model"))
    let configuration = try JSONValue(parsing: Array(settings.utf8).span.bytes)
    let templates = try ChatTemplates(files: [], settings: configuration, path: "tokenizer_config.json")
    return try GGUFExportTokenizer(
      file, SentencePieceSettings(file, configuration: configuration, addedTokens: nil, folder: "model"),
      templates: templates, vocabularySize: vocabularySize)
  }

  private func members(
    _ name: String, settings: String = "{}", vocabularySize: Int = 500
  ) throws -> [String: GGUFValue] {
    let tokenizer = try tokenizer(name, settings: settings, vocabularySize: vocabularySize)
    return Dictionary(tokenizer.members.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
  }

  @Test func `scores and types are those of the model`() throws {
    let file = try SentencePieceFile(contentsOf: Fixtures.path("sentencepiece/bpe.model"))
    let members = try members("bpe")
    #expect(members["tokenizer.ggml.model"] == .string("llama"))
    #expect(members["tokenizer.ggml.pre"] == .string("default"))
    #expect(members["tokenizer.ggml.add_space_prefix"] == .bool(true))
    #expect(members["tokenizer.ggml.add_bos_token"] == .bool(true))
    #expect(members["tokenizer.ggml.bos_token_id"] == .uint32(1))
    #expect(members["tokenizer.ggml.eos_token_id"] == .uint32(2))
    #expect(members["tokenizer.ggml.unknown_token_id"] == .uint32(0))
    #expect(members["tokenizer.ggml.padding_token_id"] == nil)
    let padding = 480..<500
    #expect(
      members["tokenizer.ggml.scores"]
        == .array(
          elementType: .float32, file.pieces.map { .float32($0.score) } + padding.map { _ in .float32(0) }))
    #expect(
      members["tokenizer.ggml.token_type"]
        == .array(
          elementType: .int32,
          file.pieces.map { .int32(Int32($0.kind.rawValue)) } + padding.map { _ in .int32(5) }))
    let texts = file.pieces.map { $0.text == "\u{2581}\u{2581}\u{2581}" ? "   " : $0.text }
    #expect(
      members["tokenizer.ggml.tokens"]
        == .array(elementType: .string, texts.map { .string($0) } + padding.map { .string("[PAD\($0)]") }))
  }

  @Test func `added tokens are control or user-defined tokens`() throws {
    let members = try members(
      "bpe",
      settings: """
        {"added_tokens_decoder": {"0": {"content": "<unk>", "special": true},
         "481": {"content": "<x>", "special": true}, "482": {"content": "<y>"}},
         "add_bos_token": false, "pad_token": "<x>"}
        """)
    guard case .array(_, let types) = members["tokenizer.ggml.token_type"],
      case .array(_, let tokens) = members["tokenizer.ggml.tokens"]
    else {
      Issue.record("no tokens")
      return
    }
    #expect(types[0] == .int32(2))
    #expect(types[480...483] == [.int32(5), .int32(3), .int32(4), .int32(5)])
    #expect(tokens[481...482] == [.string("<x>"), .string("<y>")])
    #expect(members["tokenizer.ggml.add_bos_token"] == .bool(false))
    #expect(members["tokenizer.ggml.padding_token_id"] == .uint32(481))
  }

  @Test(arguments: [
    ("unigram", "{}", "unigram"), ("bpe-rules", "{}", "normalization 'user_defined'"),
    ("bpe", #"{"added_tokens_decoder": {"481": {"content": "<x>", "rstrip": true}}}"#, "'<x>'"),
  ])
  func `refuses what llama.cpp would cut otherwise`(name: String, settings: String, expected: String) throws {
    let error = #expect(throws: FormatError.self) { try members(name, settings: settings) }
    guard case .notExact(let reason) = error?.problem else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(reason.contains(expected))
  }

  @Test func `says which texts llama.cpp cuts otherwise`() throws {
    let usual = try tokenizer("bpe").notices
    #expect(usual.count == 2 && usual.last?.contains("U+2581") == true)
    #expect(try tokenizer("bpe-phrases").notices.isEmpty)
    let notices = try tokenizer("bpe", settings: #"{"legacy": false}"#).notices
    #expect(notices.count == 3 && notices.last?.contains("after a special token") == true)
  }

  @Test func `refuses more pieces than embeddings`() throws {
    let error = #expect(throws: FormatError.self) { try members("bpe", vocabularySize: 479) }
    #expect(error?.place == "token 479")
  }
}
