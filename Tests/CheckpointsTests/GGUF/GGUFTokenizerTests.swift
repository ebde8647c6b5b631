import Checkpoints
import TestSupport
import Testing

/// Tokenizers between the metadata of GGUF files and Hugging Face's files.
@Suite struct GGUFTokenizerTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Opens a small model with a tokenizer of three tokens.
  private func open(
    _ keys: [String: GGUFValue] = [:], without missing: Set<String> = []
  ) throws -> Checkpoint {
    let texts = { (texts: [String]) in GGUFValue.array(elementType: .string, texts.map { .string($0) }) }
    var table: [String: GGUFValue] = [
      "tokenizer.ggml.model": .string("gpt2"), "tokenizer.ggml.pre": .string("gpt-2"),
      "tokenizer.ggml.tokens": texts(["a", "b", "ab"]), "tokenizer.ggml.merges": texts(["a b"]),
    ]
    table.merge(keys) { $1 }
    let sorted = table.filter { !missing.contains($0.key) }.sorted { $0.key < $1.key }
    let model = GGUFModel {
      ($0.hiddenSize, $0.feedForwardSize, $0.vocabularySize) = (8, 8, 3)
      $0.change = { file in for (key, value) in sorted { file.add(key, value) } }
    }
    return try model.open(in: folder)
  }

  private func json(_ name: String, of checkpoint: Checkpoint) throws -> JSONValue {
    try JSONValue(parsing: #require(try checkpoint.copiedAsset(named: name)))
  }

  /// The metadata that a checkpoint's files become again.
  private func exported(_ checkpoint: Checkpoint) throws -> GGUFExportTokenizer {
    let settings = try json("tokenizer_config.json", of: checkpoint)
    let names = checkpoint.contents.assets.map(\.name).filter(ChatTemplates.isFile)
    let files = try names.map {
      (name: $0, text: String(decoding: try #require(try checkpoint.copiedAsset(named: $0)), as: UTF8.self))
    }
    return try GGUFExportTokenizer(
      tokenizer: json("tokenizer.json", of: checkpoint), settings: settings, configuration: .object([]),
      templates: ChatTemplates(files: files, settings: settings, path: "x"), vocabularySize: 3,
      path: "out.gguf")
  }

  private func value(_ key: String, _ tokenizer: GGUFExportTokenizer) -> GGUFValue? {
    tokenizer.members.first { $0.key == key }?.value
  }

  @Test(arguments: [
    ("gpt-2", "gpt-2"), ("phi-2", "gpt-2"), ("smollm", "smollm"), ("starcoder", "smollm"),
    ("refact", "smollm"), ("command-r", "command-r"), ("llama-bpe", "llama-bpe"), ("llama3", "llama-bpe"),
    ("llama-v3", "llama-bpe"), ("smaug-bpe", "smaug-bpe"), ("dbrx", "smaug-bpe"), ("glm4", "smaug-bpe"),
    ("qwen2", "qwen2"), ("qwen35", "qwen35"), ("tekken", "tekken"), ("gpt-4o", "gpt-4o"),
    ("olmo", "olmo"), ("lfm2", "llama-bpe"),
    ("llama4", "gpt-4o"), ("deepseek-v3", "deepseek-v3"), ("deepseek-coder", "deepseek-coder"),
    ("deepseek-r1-qwen", "qwen2"), ("kormo", "qwen2"), ("megrez", "qwen2"), ("stablelm2", "qwen2"),
    ("falcon3", "llama-bpe"), ("midm-2.0", "llama-bpe"), ("pixtral", "llama-bpe"), ("mellum", "gpt-2"),
    ("trillion", "gpt-2"), ("a.x-4.0", "gpt-2"), ("granite-docling", "gpt-2"), ("minerva-7b", "smollm"),
  ])
  func `a pre-tokenizer that is read is written again`(name: String, written: String) throws {
    let checkpoint = try open(["tokenizer.ggml.pre": .string(name)])
    #expect(checkpoint.contents.notices == [])
    #expect(value("tokenizer.ggml.pre", try exported(checkpoint)) == .string(written))
  }

  @Test func `DeepSeek Coder splits text in the five ways of its tokenizer`() throws {
    let checkpoint = try open(["tokenizer.ggml.pre": .string("deepseek-coder")])
    let splits = ["[\r\n]", #"\s?\p{L}+"#, #"\s?\p{P}+"#, "[一-龥ࠀ-一가-\u{D7FF}]+"].map {
      let regex = JSONValue.string($0).compactText
      return #"{"type":"Split","pattern":{"Regex":\#(regex)},"behavior":"Isolated","invert":false}"#
    }
    let digits = #"{"type":"Digits","individual_digits":true}"#
    let bytes = #"{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}"#
    let all = (splits + [digits, bytes]).joined(separator: ",")
    #expect(
      try json("tokenizer.json", of: checkpoint)["pre_tokenizer"]?.compactText
        == #"{"type":"Sequence","pretokenizers":[\#(all)]}"#)
  }

  @Test func `Qwen 2 alone normalizes what other models split in the same way`() throws {
    let (qwen, other) = try (
      json("tokenizer.json", of: open(["tokenizer.ggml.pre": .string("qwen2")])),
      json("tokenizer.json", of: open(["tokenizer.ggml.pre": .string("deepseek-r1-qwen")]))
    )
    #expect(qwen["pre_tokenizer"] == other["pre_tokenizer"])
    #expect(qwen["normalizer"]?["type"] == .string("NFC") && other["normalizer"] == .null)
  }

  @Test func `a template with a name of its own comes back`() throws {
    let list = GGUFValue.array(elementType: .string, [.string("tool_use")])
    let keys: [String: GGUFValue] = [
      "tokenizer.chat_template": .string("{{ a }}"), "tokenizer.chat_template.tool_use": .string("{{ b }}"),
      "tokenizer.chat_templates": list,
    ]
    let checkpoint = try open(keys)
    #expect(
      try json("tokenizer_config.json", of: checkpoint)["chat_template"]?.compactText
        == #"[{"name":"default","template":"{{ a }}"},{"name":"tool_use","template":"{{ b }}"}]"#)
    let file = try checkpoint.copiedAsset(named: "additional_chat_templates/tool_use.jinja")
    #expect(file == Array("{{ b }}".utf8))
    let written = try exported(checkpoint)
    for (key, expected) in keys { #expect(value(key, written) == expected) }
  }

  @Test(arguments: [
    (["tokenizer.chat_template.../x": GGUFValue.string("{{ a }}")], "'../x' is not a template name"),
    (["tokenizer.chat_template.": .string("{{ a }}")], "'' is not a template name"),
    (["tokenizer.chat_template.x": .uint8(1)], "is not a text"),
    (
      ["tokenizer.chat_templates": .array(elementType: .string, [.string("x")])],
      "key 'tokenizer.chat_template.x' is missing"
    ),
  ])
  func `refuses templates that cannot be files`(keys: [String: GGUFValue], reason: String) {
    let error = #expect(throws: FormatError.self) { try open(keys) }
    #expect(error?.description.hasSuffix(reason) == true, "\(error?.description ?? "")")
  }

  @Test(arguments: [
    (["tokenizer.ggml.model": GGUFValue.string("t5")], "tokenizer 't5'"),
    (["tokenizer.ggml.pre": .string("mystery")], "pre-tokenizer 'mystery'"),
    (
      ["tokenizer.ggml.token_type": .array(elementType: .int32, [.int32(1), .int32(6), .int32(1)])],
      "token 1 of type 6"
    ),
  ])
  func `a tokenizer that is not read is kept and written again`(
    keys: [String: GGUFValue], reason: String
  ) throws {
    let checkpoint = try open(keys)
    #expect(checkpoint.contents.tensors.count == 12)
    #expect(checkpoint.contents.assets.map(\.name) == ["config.json", "tokenizer.gguf"])
    #expect(checkpoint.contents.notices.count == 1)
    #expect(checkpoint.contents.notices.first?.contains(reason) == true)

    let kept = try #require(try GGUFKeptTokenizer(of: checkpoint))
    let members = try kept.export(vocabularySize: 3).members
    for (key, expected) in keys { #expect(members.first { $0.key == key }?.value == expected) }
    #expect(members.contains { $0.key == "tokenizer.ggml.tokens" })
    #expect(members.allSatisfy { $0.key.hasPrefix("tokenizer.") })
    let error = #expect(throws: FormatError.self) { try kept.document() }
    #expect(error?.description.contains(reason) == true)
    #expect(throws: FormatError.self) { try kept.export(vocabularySize: 4) }
  }

  @Test func `a kept tokenizer has no keys of a model`() throws {
    let file = GGUFBytes {
      $0.add("tokenizer.ggml.model", .string("t5"))
      $0.add("general.name", .string("x"))
    }
    try SampleCheckpoint([TensorInfo(name: "a", dtype: .u8, shape: [2])]).write(to: folder.path("x"))
    let path = try folder.write("x/tokenizer.gguf", file.bytes)
    let checkpoint = try Checkpoint.open(path: folder.path("x"))
    let error = #expect(throws: FormatError.self) { try GGUFKeptTokenizer(of: checkpoint) }
    #expect(error?.path == path && error?.place == "key 'general.name'")
  }

  @Test func `a tokenizer that does not say how text is split is kept`() throws {
    let checkpoint = try open(without: ["tokenizer.ggml.pre"])
    #expect(checkpoint.contents.notices.first?.contains("tokenizer.ggml.pre") == true)
    #expect(try GGUFKeptTokenizer(of: checkpoint)?.tokenCount == 3)
  }
}
