import Checkpoints
import TestSupport
import Testing

@Suite struct GGUFExportTokenizerTests {
  private func value(_ key: String, _ tokenizer: GGUFExportTokenizer) -> GGUFValue? {
    tokenizer.members.first { $0.key == "tokenizer." + key }?.value
  }

  @Test func `tokens are padded to the vocabulary and told apart`() throws {
    let tokenizer = try GGUFSample.vocabulary()
    #expect(value("ggml.tokens", tokenizer)?.array?.map(\.string) == ["a", "b", "ab", "<s>", "[PAD4]"])
    #expect(value("ggml.token_type", tokenizer)?.array?.map(\.integer) == [1, 1, 1, 3, 5])
    #expect(value("ggml.merges", tokenizer)?.array?.map(\.string) == ["a b"])
    #expect(value("ggml.model", tokenizer) == .string("gpt2"))
  }

  @Test func `special tokens come from the settings, else from the configuration`() throws {
    let tokenizer = try GGUFSample.vocabulary()
    #expect(value("ggml.bos_token_id", tokenizer) == .uint32(3))
    #expect(value("ggml.eos_token_id", tokenizer) == .uint32(2))
    #expect(value("ggml.padding_token_id", tokenizer) == nil)
    #expect(value("ggml.add_bos_token", tokenizer) == .bool(false))
  }

  @Test func `a template that begins with a special token adds it`() throws {
    let json =
      GGUFSample.tokenizer.dropLast() + """
        , "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {}}]}}
        """
    let tokenizer = try GGUFSample.vocabulary(String(json))
    #expect(value("ggml.add_bos_token", tokenizer) == .bool(true))
    #expect(value("ggml.add_eos_token", tokenizer) == .bool(false))
  }

  @Test func `the chat template of the settings is kept`() throws {
    let tokenizer = try GGUFSample.vocabulary(settings: #"{"chat_template": "{{ x }}"}"#)
    #expect(value("chat_template", tokenizer) == .string("{{ x }}"))
  }

  @Test func `a list of chat templates becomes a key each and their names`() throws {
    let settings =
      #"{"chat_template": [{"name": "tool-use", "template": "b"}, {"name": "default", "template": "a"}]}"#
    let tokenizer = try GGUFSample.vocabulary(settings: settings)
    #expect(value("chat_template", tokenizer) == .string("a"))
    #expect(value("chat_template.tool_use", tokenizer) == .string("b"))
    #expect(value("chat_templates", tokenizer)?.array == [.string("tool_use")])
  }

  @Test func `files of chat templates take the place of the settings`() throws {
    let tokenizer = try GGUFSample.vocabulary(
      settings: #"{"chat_template": [{"name": "old", "template": "b"}]}"#,
      templates: [("chat_template.jinja", "new"), ("additional_chat_templates/rag.jinja", "c")])
    #expect(value("chat_template", tokenizer) == .string("new"))
    #expect(value("chat_template.rag", tokenizer) == .string("c"))
    #expect(value("chat_template.old", tokenizer) == nil)
  }

  @Test(arguments: [
    (#"{"chat_template": 1}"#, "is neither a text nor a list"),
    (#"{"chat_template": [{"name": "a"}]}"#, "is neither a text nor a list"),
    (
      #"{"chat_template": [{"name": "a", "template": ""}, {"name": "a", "template": ""}]}"#,
      "'a' is there twice"
    ),
    (
      #"{"chat_template": [{"name": "a-b", "template": ""}, {"name": "a.b", "template": ""}]}"#,
      "another template is also called 'a_b'"
    ),
  ])
  func `refuses chat templates that are no templates`(settings: String, reason: String) {
    let error = #expect(throws: FormatError.self) { try GGUFSample.vocabulary(settings: settings) }
    #expect(error?.description.contains(reason) == true, "\(error?.description ?? "")")
  }

  /// The sample's tokenizer with another expression before its bytes.
  private func splitting(_ regex: String, normalizer: String = "null", _ more: String = "") throws -> String {
    let regex = JSONValue.string(regex).compactText
    return """
      {"normalizer": \(normalizer),
       "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
         {"type": "Split", "pattern": {"Regex": \(regex)}, "behavior": "Isolated", "invert": false},
         {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]},
       "model": {"type": "BPE", \(more) "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}}
      """
  }

  private static func words(_ digits: String) -> String {
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"# + digits
      + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  }

  @Test(arguments: [
    (words(""), "null", "", "qwen2"), (words(""), #"{"type": "NFC"}"#, "", "qwen2"),
    (words(""), #"{"type": "Sequence", "normalizers": []}"#, "", "qwen2"),
    (words("{1,3}"), "null", "", "smaug-bpe"),
    (words("{1,3}"), "null", #""ignore_merges": true,"#, "llama-bpe"),
  ])
  func `an expression is known by its name`(
    regex: String, normalizer: String, model: String, name: String
  ) throws {
    let tokenizer = try GGUFSample.vocabulary(splitting(regex, normalizer: normalizer, model))
    #expect(value("ggml.pre", tokenizer) == .string(name))
  }

  @Test(arguments: [("smollm2-tokenizer", "smollm"), ("tiny-llama", "llama-bpe")])
  func `names how text is split`(fixture: String, name: String) throws {
    let tokenizer = try GGUFExportTokenizer(
      tokenizer: JSONValue(contentsOf: Fixtures.path(fixture + "/tokenizer.json")), settings: .object([]),
      configuration: .object([]),
      templates: ChatTemplates(files: [], settings: .object([]), path: ""), vocabularySize: 49152,
      path: "out.gguf")
    #expect(value("ggml.pre", tokenizer) == .string(name))
  }

  @Test func `a normalizer that llama.cpp leaves out is named`() throws {
    let json = GGUFSample.tokenizer.replacing(
      #"{"pre_tok"#, with: #"{"normalizer": {"type": "NFC"}, "pre_tok"#)
    let tokenizer = try GGUFSample.vocabulary(json)
    #expect(value("ggml.pre", tokenizer) == .string("olmo"))
    #expect(tokenizer.notices.map { $0.says("llama.cpp … NFC … other tokens") } == [true])
    #expect(try GGUFSample.vocabulary().notices == [])
  }

  @Test func `the token that the template puts first is the one that llama.cpp puts first`() throws {
    let json =
      GGUFSample.tokenizer.dropLast() + """
        , "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {}}]}}
        """
    let tokenizer = try GGUFSample.vocabulary(String(json), settings: #"{"bos_token": "a"}"#)
    #expect(value("ggml.bos_token_id", tokenizer) == .uint32(3))
  }

  @Test func `plain byte-level BPE is GPT-2's`() throws {
    #expect(value("ggml.pre", try GGUFSample.vocabulary()) == .string("gpt-2"))
  }

  @Test(arguments: [
    (
      #""add_prefix_space": false"#, #""add_prefix_space": true"#,
      "'pre_tokenizer': llama.cpp has no name for this one"
    ),
    (#""use_regex": true"#, #""use_regex": false"#, "(ByteLevel)"),
    (#""type": "BPE""#, #""type": "Unigram""#, "'model': 'Unigram' is not byte-level BPE"),
    (#""type": "BPE""#, #""type": "BPE", "ignore_merges": true"#, "'model.ignore_merges'"),
    (#"{"pre_tok"#, #"{"normalizer": {"type": "NFKC"}, "pre_tok"#, "'normalizer': 'NFKC' is not applied"),
    (#""special": true"#, #""special": true, "lstrip": true"#, "token '<s>' has 'lstrip'"),
  ])
  func `refuses what llama.cpp would do otherwise`(part: String, change: String, reason: String) {
    let error = #expect(throws: FormatError.self) {
      try GGUFSample.vocabulary(GGUFSample.tokenizer.replacing(part, with: change))
    }
    guard case .notExact = error?.problem else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(error?.description.contains(reason) == true, "\(error?.description ?? "")")
  }

  @Test func `a token beyond the embeddings is malformed`() {
    #expect(
      throws: FormatError("out.gguf", at: "token '<s>'", .malformed("id 3, but there are 3 embeddings"))
    ) { try GGUFSample.vocabulary(count: 3) }
  }

  @Test func `a merge that is no pair is malformed`() {
    #expect(
      throws: FormatError("out.gguf", at: "key 'model.merges'", .malformed("'a' is not a pair of tokens"))
    ) { try GGUFSample.vocabulary(GGUFSample.tokenizer.replacing(#""a b""#, with: #""a""#)) }
  }
}
