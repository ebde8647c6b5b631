import Checkpoints
import Foundation
import TestSupport
import Testing

@Suite struct `Safetensors folder` {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func openMessage() -> String? {
    message(in: folder) { _ = try Checkpoint.open(path: folder.path) }
  }

  private func writeShards(index: String) throws {
    try folder.write("one.safetensors", safetensors("{\(entry("a", "U8", [1], 0, 1))}", [1]))
    try folder.write("two.safetensors", safetensors("{\(entry("b", "U8", [2], 0, 2))}", [2, 3]))
    try folder.write("model.safetensors.index.json", index)
  }

  @Test func `opens the fixture with three shards`() throws {
    let root = URL(filePath: #filePath).deletingLastPathComponent().appending(
      path: "../../../Fixtures/tiny-llama")
    let checkpoint = try Checkpoint.open(path: root.standardizedFileURL.path(percentEncoded: false))
    #expect(checkpoint.format == .safetensors)
    #expect(checkpoint.contents.tensors.reduce(0) { $0 + $1.byteCount } == 2_099_456)
    #expect(checkpoint.contents.assets.map(\.name).contains("tokenizer.json"))
    #expect(try checkpoint.bytes(of: "lm_head.weight").count == 262_144)
  }

  @Test func `opens one file`() throws {
    let path = try folder.write("x.safetensors", safetensors("{\(entry("a", "U8", [2], 0, 2))}", [7, 8]))
    let checkpoint = try Checkpoint.open(path: path)
    #expect(
      checkpoint.contents == CheckpointContents(tensors: [TensorInfo(name: "a", dtype: .u8, shape: [2])]))
    #expect(try checkpoint.bytes(of: "a").array == [7, 8])
  }

  @Test func `opens a folder with one file of any name`() throws {
    try folder.write("x.safetensors", safetensors("{\(entry("a", "U8", [2], 0, 2))}", [7, 8]))
    #expect(try Checkpoint.open(path: folder.path).bytes(of: "a").array == [7, 8])
  }

  @Test func `opens shards by their index`() throws {
    try writeShards(
      index:
        #"{"metadata": {"total_size": 3.0}, "weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}"#)
    let checkpoint = try Checkpoint.open(path: folder.path)
    #expect(checkpoint.contents.tensors.map(\.name) == ["a", "b"])
    #expect(checkpoint.contents.assets.isEmpty)
    #expect(try checkpoint.bytes(of: "b").array == [2, 3])
  }

  @Test func `copies tensors that are not aligned`() throws {
    let json = "{\(entry("a", "U8", [1], 0, 1)),\(entry("b", "F32", [1], 1, 5))}"
    let path = try folder.write("x.safetensors", safetensors(json, [9, 1, 2, 3, 4]))
    try Checkpoint.open(path: path).bytes(of: "b").withSpan { span in
      #expect(span.copiedBytes() == [1, 2, 3, 4])
    }
  }

  @Test(arguments: [
    (#"{"weight_map": []}"#, "object 'weight_map' … missing"),
    (#"{"metadata": {}}"#, "object 'weight_map' … missing"),
    (#"{"weight_map": {"a": 1}}"#, "tensor 'a': … string"),
    (
      #"{"weight_map": {"a": "../one.safetensors"}}"#,
      "tensor 'a': … '../one.safetensors' …"
    ),
    (
      #"{"weight_map": {"a": "/etc/passwd"}}"#,
      "tensor 'a': … '/etc/passwd' …"
    ),
    (#"{"weight_map": {"a": ".."}}"#, "tensor 'a': … '..' …"),
    (#"{"weight_map": {"a": ""}}"#, "tensor 'a': … '' …"),
    (
      #"{"weight_map": {"a": "one.safetensors\u0000"}}"#,
      #"tensor 'a': … 'one.safetensors\u{0}' …"#
    ),
    (#"{"weight_map": {"a": "one.safetensors", "a": "one.safetensors"}}"#, "byte 40: … 'a'"),
    (
      #"{"weight_map": {"a": "one.safetensors", "b": "two.safetensors", "c": "two.safetensors"}}"#,
      "tensor 'c': … 'two.safetensors' … missing"
    ),
  ])
  func `refuses a wrong index`(index: String, reason: String) throws {
    try writeShards(index: index)
    #expect(openMessage().says("/model.safetensors.index.json: " + reason))
  }

  @Test(arguments: [
    (#"{"a": "gone.safetensors"}"#, ": model.safetensors.index.json: … 'gone.safetensors' … missing"),
    (
      #"{"a": "one.safetensors", "c": "two.safetensors"}"#,
      "/two.safetensors: tensor 'b': … model … safetensors …"
    ),
    (
      #"{"a": "one.safetensors", "b": "one.safetensors", "c": "two.safetensors"}"#,
      "/two.safetensors: tensor 'b': … 'one.safetensors'"
    ),
  ])
  func `refuses shards that differ from the index`(map: String, reason: String) throws {
    try writeShards(index: #"{"weight_map": \#(map)}"#)
    #expect(openMessage().says(reason))
  }

  @Test func `refuses a file beside an index of others`() throws {
    try writeShards(index: #"{"weight_map": {"a": "one.safetensors"}}"#)
    try folder.write("model.safetensors", safetensors("{}"))
    #expect(openMessage().says(": … model.safetensors … index … other files …"))
  }

  @Test(arguments: [
    (["README.md"], ": … missing"),
    (
      ["pytorch_model.bin"],
      ": 'pytorch_model.bin' …"
    ),
    (["x.PTH"], ": 'x.PTH' …"),
    (
      ["consolidated.safetensors"],
      ": 'consolidated.safetensors' … 's own layout, not in Hugging Face' …"
    ),
    (["a.safetensors", "b.safetensors"], ": … 2 safetensors …"),
    (["adapter_model.safetensors"], ": holds … adapter …"),
  ])
  func `refuses a folder without weights it can read`(names: [String], reason: String) throws {
    for name in names { try folder.write(name, safetensors("{}")) }
    #expect(openMessage().says(reason))
  }

  @Test func `refuses what is not there`() {
    #expect(
      message(in: folder) { _ = try Checkpoint.open(path: folder.path("x")) }.says("/x: … missing"))
  }

  @Test func `refuses a file of another kind`() throws {
    let path = try folder.write("x.txt", "text")
    #expect(
      message(in: folder) { _ = try Checkpoint.open(path: path) }.says("/x.txt: … kind … checkpoint …"))
  }

  @Test func `refuses a shard that is a link out of the folder`() throws {
    let outside = try TemporaryFolder()
    try outside.write("w.safetensors", safetensors("{}"))
    try FileManager.default.createSymbolicLink(
      atPath: folder.path("model.safetensors"), withDestinationPath: outside.path("w.safetensors"))
    #expect(openMessage().says("/model.safetensors: … link … leaves the folder …"))
  }

  @Test func `follows a link inside the folder`() throws {
    try folder.write("store/weights", safetensors("{\(entry("a", "U8", [1], 0, 1))}", [5]))
    try FileManager.default.createSymbolicLink(
      atPath: folder.path("model.safetensors"), withDestinationPath: "store/weights")
    #expect(try Checkpoint.open(path: folder.path).bytes(of: "a").array == [5])
  }

  @Test func `lists assets of all folders but no weights and nothing hidden`() throws {
    for name in ["model.safetensors", "extra/other.safetensors"] { try folder.write(name, safetensors("{}")) }
    for name in [
      "tokenizer.json", "a/b/c.txt", ".git/x", "a/.hidden", "old.bin", "old.bin.index.json", "m.gguf",
      "LICENSE",
    ] {
      try folder.write(name, name)
    }
    let checkpoint = try Checkpoint.open(path: folder.path)
    #expect(checkpoint.contents.assets.map(\.name) == ["LICENSE", "a/b/c.txt", "tokenizer.json"])
    #expect(try checkpoint.asset(named: "a/b/c.txt")?.array == Array("a/b/c.txt".utf8))
  }

  @Test func `does not enter linked folders, so a loop ends`() throws {
    try folder.write("model.safetensors", safetensors("{}"))
    try FileManager.default.createSymbolicLink(atPath: folder.path("loop"), withDestinationPath: ".")
    #expect(try Checkpoint.open(path: folder.path).contents.assets.isEmpty)
  }

  @Test func `refuses an asset that is a link out of the folder`() throws {
    try folder.write("model.safetensors", safetensors("{}"))
    try FileManager.default.createSymbolicLink(
      atPath: folder.path("tokenizer.json"), withDestinationPath: "/etc/passwd")
    #expect(openMessage()?.hasPrefix("/tokenizer.json: is a link that leaves the folder") == true)
  }

  @Test func `refuses a pipe without waiting for it`() throws {
    #expect(mkfifo(folder.path("model.safetensors"), 0o600) == 0)
    #expect(openMessage().says("/model.safetensors: … not a regular file …"))
  }
}
