import Checkpoints
import Foundation
import TestSupport
import Testing

@Suite struct GenerateTests {
  private static let model = Fixtures.path("tiny-llama")

  @Test func `prints the continuation and nothing else`() throws {
    let result = try succeed(
      "generate", Self.model, "--prompt", "In the beginning", "--max-tokens", "8", "--quiet",
      in: TemporaryFolder())
    #expect(
      result.output == " of the LORD, and the clouds\n" || result.output.hasPrefix(" of the LORD, and the"))
    #expect(result.error.isEmpty)
  }

  @Test func `says how fast it was and why it ended`() throws {
    let result = try succeed(
      "generate", Self.model, "--prompt", "In", "--max-tokens", "3", in: TemporaryFolder())
    #expect(result.error.wholeMatch(of: /3 tokens, [0-9.]+ per second, cut at its length\n/) != nil)
  }

  @Test func `the JSON document has its keys`() throws {
    let result = try succeed(
      "generate", Self.model, "--prompt", "", "--max-tokens", "4", "--temperature", "0.8", "--top-k", "20",
      "--top-p", "0.9", "--seed", "7", "--json", in: TemporaryFolder())
    let document = try JSONValue(parsing: Array(result.output.utf8))
    #expect(
      document.keys == [
        "text", "tokens", "prompt_tokens", "finish_reason", "tokens_per_second",
        "prompt_tokens_per_second", "peak_memory_bytes",
      ])
    #expect(document["prompt_tokens"] == .array([.integer(0)]))
    #expect(document["tokens"]?.array?.count == 4)
    #expect(document["finish_reason"] == .string("length"))
  }

  @Test func `rounds activations to int8 unless it is told not to`() throws {
    let folder = try TemporaryFolder()
    try succeed("quantize", Self.model, "packed.rilq", "--method", "rtn", "--bits", "4", in: folder)
    let prompt = ["--prompt", "In the", "--max-tokens", "40", "--temperature", "1", "--quiet"]
    let texts = try [[], ["--products", "int8"], ["--products", "f32"]].map { options in
      let result = try Program(["generate", "packed.rilq"] + prompt + options, in: folder).wait()
      #expect(result.code == 0, "\(result.error)")
      return result.output
    }
    #expect(texts[0] == texts[1])
    // The same random numbers choose among slightly different probabilities.
    #expect(texts[0].prefix(8) == texts[2].prefix(8))
  }

  @Test func `the same seed gives the same text`() throws {
    let outputs = try ["3", "3", "4"].map { seed in
      try succeed(
        "generate", Self.model, "--prompt", "And", "--temperature", "1", "--seed", seed, "--quiet",
        in: TemporaryFolder()
      ).output
    }
    #expect(outputs[0] == outputs[1] && outputs[0] != outputs[2])
  }

  @Test func `writes texts as JSON lines, which quantize takes`() throws {
    let folder = try TemporaryFolder()
    let result = try succeed(
      "generate", Self.model, "--samples", "5", "--output", "texts.jsonl", "--max-tokens", "48", "--json",
      "--quiet", in: folder)
    let document = try JSONValue(parsing: Array(result.output.utf8))
    #expect(
      document.keys == ["output", "samples", "tokens", "tokens_per_second", "peak_memory_bytes"])
    let lines = String(decoding: try folder.read("texts.jsonl"), as: UTF8.self).split(separator: "\n")
    #expect(lines.count == 5)
    for line in lines { #expect(try JSONValue(parsing: Array(line.utf8))["text"]?.string != nil) }
    try succeed(
      "quantize", Self.model, "out.rilq", "--method", "gptq", "--text", "texts.jsonl", "--samples", "2",
      "--length", "64", in: folder)
    #expect(try folder.names() == ["out.rilq", "texts.jsonl"])
  }

  @Test func `an existing file of texts stays without force`() throws {
    let folder = try TemporaryFolder()
    try folder.write("texts.jsonl", "mine")
    let arguments = [
      "generate", Self.model, "--samples", "1", "--output", "texts.jsonl", "--max-tokens", "4",
    ]
    let refused = try Program(arguments, in: folder).wait()
    #expect(refused.code == 4)
    #expect(refused.error.says("rilq: texts.jsonl: exists … --force …\n"))
    #expect(try folder.read("texts.jsonl") == Array("mine".utf8))
    #expect(try Program(arguments + ["--force"], in: folder).wait().code == 0)
  }

  @Test(arguments: [
    ([], "expected either --prompt or --samples with --output"),
    (["--prompt", "a", "--samples", "1"], "expected either --prompt or --samples with --output"),
    (["--samples", "1"], "--samples and --output go together"),
    (["--prompt", "a", "--output", "x"], "--samples and --output go together"),
    (["--prompt", "a", "--force"], "--force goes with --output"),
    (["--prompt", "a", "--max-tokens", "0"], "--max-tokens must be at least 1"),
    (["--samples", "0", "--output", "x"], "--samples must be at least 1"),
    (["--prompt", "a", "--temperature", "0.001"], "--temperature must be 0 or from 0.01 to 100"),
    (["--prompt", "a", "--temperature", "nan"], "--temperature must be 0 or from 0.01 to 100"),
    (["--prompt", "a", "--temperature", "1", "--top-k", "0"], "--top-k must be at least 1"),
    (["--prompt", "a", "--temperature", "1", "--top-p", "0"], "--top-p must be above 0 and at most 1"),
    (["--prompt", "a", "--top-k", "5"], "--top-k and --top-p need a --temperature above 0"),
    (["--prompt", "a", "--chat"], "--chat is not supported: chat templates are programs in Jinja"),
  ])
  func `refuses flags that do not fit`(flags: [String], expected: String) throws {
    let result = try Program(["generate", Self.model] + flags, in: TemporaryFolder()).wait()
    #expect(result.code == 64)
    #expect(result.error.hasPrefix("Error: " + expected), "\(result.error)")
  }

  @Test func `a sequence beyond the context is wrong usage`() throws {
    let folder = try TemporaryFolder()
    let long = try Program.run(
      "generate", Self.model, "--prompt", "In the", "--max-tokens", "511", in: folder)
    #expect(long.code == 64)
    #expect(
      long.error.says("rilq: … 3 tokens … leave 509 … 512\n"))
    let samples = try Program.run(
      "generate", Self.model, "--samples", "1", "--output", "x", "--max-tokens", "512", in: folder)
    #expect(samples.code == 64)
    #expect(try folder.names().isEmpty)
  }

  @Test func `an empty prompt needs a token to begin with`() throws {
    let folder = try folderWithModel()
    let result = try Program.run("generate", "model", "--prompt", "", in: folder)
    #expect(result.code == 64)
    #expect(result.error.says("rilq: --prompt … empty …\n"))
    let samples = try Program.run("generate", "model", "--samples", "1", "--output", "x", in: folder)
    #expect(samples.code == 2)
    #expect(samples.error.says("rilq: model: … token … begins …\n"))
  }

  @Test func `a prompt that begins with the begin token does not get it twice`() throws {
    let folder = try folderWithModel()
    var tokenizer = try JSONValue(contentsOf: folder.path("model/tokenizer.json"))
    tokenizer.set(
      "post_processor",
      to: try JSONValue(
        parsing: Array(
          #"""
          {"type": "TemplateProcessing",
           "single": [{"SpecialToken": {"id": "<|begin_of_text|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
           "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
           "special_tokens": {"<|begin_of_text|>": {"id": "<|begin_of_text|>", "ids": [0], "tokens": ["<|begin_of_text|>"]}}}
          """#.utf8)))
    try folder.write("model/tokenizer.json", tokenizer.compactText)
    let tokens = try ["And", "<|begin_of_text|>And"].map { prompt in
      let result = try succeed(
        "generate", "model", "--prompt", prompt, "--max-tokens", "1", "--json", in: folder)
      return try JSONValue(parsing: Array(result.output.utf8))["prompt_tokens"]?.array?.compactMap(\.integer)
    }
    #expect(tokens[0]?.first == 0 && tokens[0] == tokens[1])
  }

  @Test func `a token outside the vocabulary is named with the tokenizer`() throws {
    let folder = try folderWithModel(TinyModel { $0.vocabularySize = 300 })
    let result = try Program.run("generate", "model", "--prompt", "And the LORD said unto", in: folder)
    #expect(result.code == 2)
    #expect(result.error.hasPrefix("rilq: model/tokenizer.json: token "))
  }
}
