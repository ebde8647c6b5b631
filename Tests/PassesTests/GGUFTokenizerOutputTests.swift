import Checkpoints
import Foundation
import Models
import Passes
import TestSupport
import Testing

/// Tokenizers of SentencePiece's kind on their way through a GGUF file.
@Suite struct GGUFTokenizerOutputTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Converts tiny-llama, whose tokenizer is replaced, to a GGUF file.
  private func convert(
    _ tokenizer: JSONValue, configuration: [(String, JSONValue)] = []
  ) throws -> (report: PipelineReport, checkpoint: Checkpoint) {
    let model = folder.path("model")
    try FileManager.default.copyItem(atPath: Fixtures.path("tiny-llama"), toPath: model)
    for name in ["tokenizer.json", "tokenizer_config.json"] {
      try FileManager.default.removeItem(atPath: model + "/" + name)
    }
    try folder.write("model/tokenizer.json", tokenizer.compactText)
    var settings = try JSONValue(contentsOf: model + "/config.json")
    for (key, value) in configuration { settings.set(key, to: value) }
    try FileManager.default.removeItem(atPath: model + "/config.json")
    try folder.write("model/config.json", settings.compactText)
    let recipe = Recipe(
      input: PathOption(model), output: PathOption(folder.path("out.gguf")), passes: [])
    let report = try Pipeline(recipe, Pipeline.Options(version: "0.0.0")).run()
    return (report, try Checkpoint.open(path: folder.path("out.gguf")))
  }

  private static func document(_ name: String) throws -> JSONValue {
    try JSONValue(contentsOf: Fixtures.path("tokenizers/\(name).json"))
  }

  private static func texts() throws -> [String] {
    let golden = try JSONValue(contentsOf: Fixtures.path("tokenizers/golden.json"))
    return try #require(golden["texts"]?.array).compactMap(\.string)
  }

  /// The text with a literal `▁`, which llama.cpp's added tokens of spaces do not match.
  private static let literalSpace = "\u{2581} \u{2581}a a\u{2581}b \u{2581}\u{2581} \u{2581}the"

  @Test(arguments: [
    ("llama2", false, []), ("gemma", false, ["U+2581"]), ("llama2", true, ["'<unk>' … everywhere"]),
    ("gemma", true, ["U+2581"]),
  ])
  func `texts with added tokens that llama.cpp reads otherwise are named`(
    name: String, isNormalized: Bool, expected: [String]
  ) throws {
    var document = try Self.document(name)
    let tokens = try #require(document["added_tokens"]?.array)
    document.set(
      "added_tokens",
      to: .array(
        tokens.map { token in
          var token = token
          if token["special"]?.bool == true { token.set("normalized", to: .bool(isNormalized)) }
          return token
        }))
    let (report, _) = try convert(document)
    #expect(report.notices.count == expected.count)
    #expect(zip(report.notices, expected).allSatisfy { $0.says("llama.cpp … \($1) …") }, "\(report.notices)")
  }

  @Test(arguments: ["llama2", "gemma"])
  func `a tokenizer comes back as it was`(name: String) throws {
    let document = try Self.document(name)
    let (_, checkpoint) = try convert(document)
    let original = try Tokenizer(parsing: document, path: name)
    let found = try Tokenizer(of: checkpoint)
    let texts = try Self.texts().filter { $0 != Self.literalSpace }
    #expect(texts.count == 66)
    #expect(texts.filter { found.encode($0) != original.encode($0) } == [])
    #expect(found.prefixTokens == original.prefixTokens)
    let decoded = texts.filter { text in
      let tokens = original.encode(text)
      return found.decode(tokens) != original.decode(tokens)
    }
    #expect(decoded == [])
  }

  @Test func `texts that llama.cpp tokenizes differently are named`() throws {
    let (report, _) = try convert(try Self.document("llama2-metaspace"))
    #expect(report.notices.count == 1)
    #expect(report.notices.first?.says("llama.cpp … begin with a space … differ") == true)
    #expect(report.json["notices"]?.array?.count == 1)
  }

  @Test func `white space after the tokens of Phi 3 is known by the model's name`() throws {
    let document = try Self.document("phi3")
    let error = #expect(throws: FormatError.self) { try convert(document) }
    #expect(error?.description.says("… key 'added_tokens': token '</s>' … 'rstrip' …") == true)
    try FileManager.default.removeItem(atPath: folder.path("model"))
    let name = ("_name_or_path", JSONValue.string("x/Phi-3-small"))
    let (_, checkpoint) = try convert(document, configuration: [name])
    let text = "<|user|>\nhi<|end|>\n<|assistant|> ok"
    #expect(
      try Tokenizer(of: checkpoint).encode(text) == Tokenizer(parsing: document, path: "").encode(text))
  }

  /// llama.cpp looks for `<unk>`, `<s>` and `<|endoftext|>` in a file of such a name, and ends without one.
  @Test func `a file without the tokens of Phi 3 does not get its name`() throws {
    let name = ("_name_or_path", JSONValue.string("x/Phi-3-small"))
    _ = try convert(try Self.document("llama2"), configuration: [name])
    let header = try GGUFHeader(of: InputFile(path: folder.path("out.gguf"), access: .read))
    #expect(header.metadata["general.name"] == .string("model"))
  }

  private static func changing(_ key: String, _ value: (JSONValue) throws -> JSONValue) throws -> JSONValue {
    var document = try document("llama2")
    var model = try #require(document["model"])
    model.set(key, to: try value(try #require(model[key])))
    document.set("model", to: model)
    return document
  }

  @Test func `refuses merges that no scores give`() throws {
    let missing = try Self.changing("merges") { .array(Array(try #require($0.array).dropLast())) }
    let apart = try Self.changing("merges") {
      var merges = try #require($0.array)
      merges.append(merges.remove(at: 2))
      return .array(merges)
    }
    for document in [missing, apart] {
      let error = #expect(throws: FormatError.self) { try convert(document) }
      #expect(error?.description.says("… key 'model.merges': llama.cpp …") == true)
      try FileManager.default.removeItem(atPath: folder.path("model"))
    }
  }

  @Test func `refuses a tokenizer that ignores merges where they do not make its tokens`() throws {
    let document = try Self.changing("ignore_merges") { _ in .bool(true) }
    let error = #expect(throws: FormatError.self) { try convert(document) }
    #expect(error?.description.says("… key 'model.ignore_merges': …") == true)
  }
}
