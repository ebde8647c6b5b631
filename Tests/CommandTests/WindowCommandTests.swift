import Checkpoints
import Foundation
import TestSupport
import Testing

@Suite struct WindowCommandTests {
  @Test func `malformed JSON lines are a malformed input with its line`() throws {
    let folder = try folderWithFixture()
    try folder.write("data.jsonl", "{\"text\": \"In the beginning\"}\n{\"text\": 5}\n")
    let result = try Program.run(
      "quantize", "model", "out.rilq", "--method", "gptq", "--text", "data.jsonl", in: folder)
    #expect(result.code == 2)
    #expect(result.error.says("rilq: data.jsonl: line 2: 'text' …\n"))
    #expect(try folder.names() == ["data.jsonl", "model"])
  }

  @Test func `prompts with completions are refused where there is no loss for them`() throws {
    let folder = try folderWithFixture()
    try folder.write("data.jsonl", "{\"prompt\": \"In\", \"completion\": \" the beginning\"}\n")
    let result = try Program.run(
      "quantize", "model", "out.rilq", "--method", "gptq", "--text", "data.jsonl", in: folder)
    #expect(result.code == 2)
    #expect(result.error.says("rilq: data.jsonl: line 1: … 'text'\n"))
  }

  @Test func `two texts are given by two flags`() throws {
    let folder = try folderWithFixture()
    try succeed(
      "quantize", "model", "out.rilq", "--method", "gptq", "--text", calibrationText, "--text",
      evaluationText, "--samples", "4", "--sampled", "1", "--length", "32", in: folder)
    let metadata = try Checkpoint.open(path: folder.path("out.rilq")).contents.metadata
    let options = metadata["history"]?.array?.first?["recipe"]?["passes"]?.array?.first?["quantize"]
    #expect(options?["text"] == .array([.string(calibrationText), .string(evaluationText)]))
    #expect(options?["sampled"] == .integer(1))
  }

  @Test(arguments: ["i.safetensors", "i.gguf"])
  func `importance is written and read, and not replaced`(file: String) throws {
    let folder = try folderWithFixture()
    let writing = [
      "quantize", "model", "a.rilq", "--method", "search", "--text", calibrationText, "--samples", "2",
      "--length", "32", "--importance-output", file,
    ]
    #expect(try Program(writing, in: folder).wait().code == 0)
    try succeed(
      "quantize", "model", "b.rilq", "--method", "search", "--importance", file, in: folder)
    let equal = try Program.run("diff", "a.rilq", "b.rilq", in: folder)
    #expect(equal.code == 0)
    let again = try Program(writing.map { $0 == "a.rilq" ? "c.rilq" : $0 }, in: folder).wait()
    #expect(again.code == 4)
    #expect(again.error.says("rilq: \(file): exists … --force …\n"))
    #expect(try folder.names() == ["a.rilq", "b.rilq", file, "model"])
  }

  @Test(arguments: ["tiny.gguf", "tiny.dat"])
  func `llama.cpp's importance of another model is refused in one line`(file: String) throws {
    let folder = try folderWithFixture()
    let path = Fixtures.path("imatrix/\(file)")
    let result = try Program.run(
      "quantize", "model", "out.rilq", "--method", "search", "--importance", path, in: folder)
    #expect(result.code == 2)
    #expect(result.error.says("rilq: \(path): tensor 'blk.0.ffn_down.weight…': … 128 … 384\n"))
    #expect(try folder.names() == ["model"])
  }
}
