import Checkpoints
import Foundation
import TestSupport
import Testing

/// Files as users have them, by the real program.
@Suite struct EverydayFileTests {
  private static let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9085657\n"

  /// Turns the folder `model` into a snapshot of the Hugging Face cache, all links, and names it.
  private func makeSnapshot(in folder: TemporaryFolder) throws -> String {
    let files = FileManager.default
    let root = folder.path("hub/models--org--tiny")
    try files.createDirectory(atPath: root + "/snapshots/abc123", withIntermediateDirectories: true)
    try files.moveItem(atPath: folder.path("model"), toPath: root + "/blobs")
    for name in try files.contentsOfDirectory(atPath: root + "/blobs") {
      try files.createSymbolicLink(
        atPath: root + "/snapshots/abc123/" + name, withDestinationPath: "../../blobs/" + name)
    }
    return "hub/models--org--tiny/snapshots/abc123"
  }

  @Test func `a snapshot of the Hugging Face cache is a checkpoint like any other`() throws {
    let folder = try folderWithModel()
    try FileManager.default.copyItem(atPath: folder.path("model"), toPath: folder.path("copy"))
    let snapshot = try makeSnapshot(in: folder)
    try succeed("inspect", snapshot, in: folder)
    try succeed("diff", snapshot, "copy", "--files", in: folder)
    let digest = try succeed("hash", "copy", in: folder).output
    #expect(try succeed("hash", snapshot, in: folder).output == digest)
    try succeed("quantize", snapshot, "a.rilq", "--resume", in: folder)
    try succeed("quantize", "copy", "b.rilq", in: folder)
    try succeed("diff", "a.rilq", "b.rilq", "--files", in: folder)
  }

  @Test func `a pointer of Git LFS is named before anything is written, and inspect describes the rest`()
    throws
  {
    let folder = try folderWithModel()
    try folder.write("model/tokenizer.json", Self.pointer)
    let before = try folder.contents()
    for arguments in [
      ["quantize", "model", "out.rilq"], ["convert", "model", "out"], ["convert", "model", "out.gguf"],
    ] {
      let result = try Program(arguments, in: folder).wait()
      #expect(result.code == 2)
      #expect(result.error.hasPrefix("rilq: model/tokenizer.json: is a Git LFS pointer"))
      #expect(try folder.contents() == before)
    }
    let result = try succeed("inspect", "model", "--json", in: folder)
    let document = try JSONValue(parsing: Array(result.output.utf8))
    #expect(document["tensors"]?.array?.isEmpty == false)
    #expect(document["tokenizer"]?["problem"]?.string?.contains("Git LFS pointer") == true)
  }

  @Test func `inspect describes a checkpoint whose tokenizer is broken`() throws {
    let folder = try folderWithModel()
    try folder.write("model/tokenizer.json", "{}{")
    let result = try succeed("inspect", "model", in: folder)
    #expect(result.output.contains("is not read: byte 2"))
  }

  @Test func `chat templates pass through GGUF`() throws {
    let folder = try folderWithModel()
    let list = #"[{"name": "default", "template": "{{ a }}"}, {"name": "tool_use", "template": "{{ b }}"}]"#
    try folder.write("model/tokenizer_config.json", #"{"chat_template": \#(list)}"#)
    try succeed("convert", "model", "a.gguf", in: folder)
    try succeed("convert", "a.gguf", "back", in: folder)
    let settings = try JSONValue(contentsOf: folder.path("back/tokenizer_config.json"))
    #expect(try settings["chat_template"] == JSONValue(parsing: Array(list.utf8)))
    #expect(try folder.read("back/chat_template.jinja") == Array("{{ a }}".utf8))
    #expect(try folder.read("back/additional_chat_templates/tool_use.jinja") == Array("{{ b }}".utf8))
    let report = try JSONValue(
      parsing: Array(try succeed("convert", "back", "b.gguf", "--json", in: folder).output.utf8))
    #expect(report["left_out"]?.array?.contains { $0.string?.contains("chat_template") == true } == false)
  }

  /// Replaces a text in a file by one of the same length.
  private func replace(_ text: String, with other: String, in name: String, of folder: TemporaryFolder) throws
  {
    var file = Data(try folder.read(name))
    let range = try #require(file.range(of: Data(text.utf8)))
    try #require(text.utf8.count == other.utf8.count)
    file.replaceSubrange(range, with: Data(other.utf8))
    try folder.write(name, Array(file))
  }

  @Test func `weights of a GGUF file are converted though its tokenizer is not read`() throws {
    let folder = try folderWithModel()
    try succeed("convert", "model", "a.gguf", in: folder)
    try replace("llama-bpe", with: "llama-xyz", in: "a.gguf", of: folder)
    #expect(try succeed("inspect", "a.gguf", in: folder).output.contains("notice"))
    let document = try JSONValue(
      parsing: Array(try succeed("inspect", "a.gguf", "--json", in: folder).output.utf8))
    for text in [document["notices"]?.array?.first, document["tokenizer"]?["problem"]] {
      #expect(text?.string?.contains("llama-xyz") == true)
    }
    try succeed("hash", "a.gguf", in: folder)
    try succeed("quantize", "a.gguf", "packed.rilq", in: folder)
    for name in ["b.rilq", "folder", "c.gguf"] {
      try succeed("convert", "a.gguf", name, in: folder)
      try succeed("diff", "a.gguf", name, in: folder)
    }
    try succeed("convert", "folder", "d.gguf", in: folder)
    for name in ["c.gguf", "d.gguf"] {
      #expect(Data(try folder.read(name)).range(of: Data("llama-xyz".utf8)) != nil)
    }
    for name in ["a.gguf", "b.rilq", "folder"] {
      let result = try Program.run(
        "eval", name, "--text", evaluationText, "--window", "64", "--max-tokens", "64", in: folder)
      #expect(result.code == 2)
      #expect(result.error.contains("pre-tokenizer 'llama-xyz' is not supported"), "\(result.error)")
    }
    let before = try folder.contents()
    let result = try Program.run(
      "quantize", "a.gguf", "e.rilq", "--method", "gptq", "--text", calibrationText, "--quiet", in: folder)
    #expect(result.code == 2)
    #expect(result.error.contains("pre-tokenizer 'llama-xyz' is not supported"), "\(result.error)")
    #expect(try folder.contents() == before)
  }

  @Test(arguments: [
    ["inspect", "none"], ["hash", "none"], ["diff", "model", "none"], ["eval", "none", "--text", "none"],
    ["eval", "model", "--text", "none"], ["quantize", "none", "out.rilq"],
    ["quantize", "model", "none/out.rilq"],
    ["convert", "none.yaml"], ["convert", "model", "none/out"], ["merge", "model", "none", "out.rilq"],
    ["verify", "model", "none", "--text", "none"], ["tokenize", "none", "--text", "none"],
    ["quantize", "model", "out.rilq", "--method", "gptq", "--text", "none"],
  ])
  func `what is not there is an error of reading or writing`(arguments: [String]) throws {
    let folder = try folderWithModel()
    let result = try Program(arguments, in: folder).wait()
    #expect(result.code == 4, "\(result.error)")
    #expect(result.error.hasPrefix("rilq: none"), "\(result.error)")
  }
}
