import Checkpoints
import Foundation
import Models
import TestSupport
import Testing

/// Checkpoints that have a `tokenizer.model` in place of a `tokenizer.json`, by the real program.
@Suite struct SentencePieceCommandTests {
  private static let settings = #"{"added_tokens_decoder": {"3": {"content": "[INST]", "special": true}}}"#
  private let folder: TemporaryFolder

  init() throws {
    folder = try folderWithModel()
    try FileManager.default.removeItem(atPath: folder.path("model/tokenizer.json"))
    try copyModel("bpe")
    try folder.write("model/tokenizer_config.json", Self.settings)
    try folder.write("text.txt", "[INST]And  the earth\twas naïve")
  }

  private func copyModel(_ name: String) throws {
    let path = Fixtures.path("sentencepiece/\(name).model")
    try folder.write("model/tokenizer.model", Array(Data(contentsOf: URL(filePath: path))))
  }

  private func ids(_ path: String) throws -> [Int]? {
    let output = try succeed("tokenize", path, "--text", "text.txt", "--json", in: folder).output
    return try JSONValue(parsing: Array(output.utf8))["ids"]?.array?.compactMap(\.integer)
  }

  @Test func `the model and its settings travel, and give the same tokens everywhere`() throws {
    try succeed("quantize", "model", "out.rilq", in: folder)
    let expected = try #require(try ids("model"))
    #expect(expected.first == 3 && expected.count > 10)
    #expect(try ids("out.rilq") == expected)
    #expect(try ids("model/tokenizer.model") != expected, "settings are not read")
    let text = try succeed("tokenize", "model", "--text", "text.txt", in: folder).output
    let numbers = text.split(separator: "\n").map { line in line.prefix { $0 != "\t" } }
    try folder.write("ids", numbers.joined(separator: " "))
    let decoded = try succeed("tokenize", "out.rilq", "--text", "ids", "--decode", in: folder).output
    // The text after an added token begins with a space of its own.
    #expect(decoded == "[INST] And  the earth\twas na\u{EF}ve")
  }

  @Test func `generates after the begin token`() throws {
    let output = try succeed(
      "generate", "model", "--prompt", "the", "--max-tokens", "2", "--json", in: folder
    ).output
    let document = try JSONValue(parsing: Array(output.utf8))
    let expected = try Tokenizer(openedAt: folder.path("model")).encode("the").map { Int($0) }
    #expect(document["prompt_tokens"]?.array?.compactMap(\.integer) == [1] + expected)
  }

  @Test func `inspect names the model`() throws {
    let output = try succeed("inspect", "model", in: folder).output
    #expect(output.contains("SentencePiece BPE of 480 tokens, 1 added tokens"))
  }

  @Test func `GGUF holds its scores`() throws {
    try succeed("convert", "model", "out.gguf", in: folder)
    let output = try succeed("inspect", "out.gguf", "--json", in: folder).output
    #expect(output.contains("\"llama\""))
  }

  @Test func `GGUF refuses a unigram model`() throws {
    try copyModel("unigram")
    let result = try Program.run("convert", "model", "out.gguf", in: folder)
    #expect(result.code == 3)
    #expect(result.error.hasPrefix("rilq: model/tokenizer.model: llama.cpp"))
  }

  @Test func `a broken model is refused with its place`() throws {
    let bytes = try folder.read("model/tokenizer.model")
    try folder.write("model/tokenizer.model", Array(bytes.dropLast(3)))
    for command in [["tokenize", "model", "--text", "text.txt"], ["generate", "model", "--prompt", "a"]] {
      let result = try Program(command, in: folder).wait()
      #expect(result.code == 2)
      #expect(result.error.hasPrefix("rilq: model/tokenizer.model: byte "), "\(result.error)")
    }
  }

  @Test func `a token outside the vocabulary is named with the model`() throws {
    try folder.write(
      "model/tokenizer_config.json", #"{"added_tokens_decoder": {"5000": {"content": "[INST]"}}}"#)
    let result = try Program.run("generate", "model", "--prompt", "[INST]", in: folder)
    #expect(result.code == 2)
    #expect(result.error.hasPrefix("rilq: model/tokenizer.model: token 5000"), "\(result.error)")
  }
}
