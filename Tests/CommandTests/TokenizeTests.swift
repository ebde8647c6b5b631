import Checkpoints
import Foundation
import Models
import TestSupport
import Testing

/// `rilq tokenize` by the real program.
@Suite struct TokenizeTests {
  private static let text = "The cat\tsat — 1234 times.\n<|end_of_text|>"
  private let folder: TemporaryFolder
  private let tokenizer: Tokenizer

  init() throws {
    folder = try TemporaryFolder()
    try folder.write(
      "t/tokenizer.json", String(contentsOfFile: Fixtures.path("tiny-llama/tokenizer.json"), encoding: .utf8))
    try folder.write("text.txt", Self.text)
    tokenizer = try Tokenizer(contentsOf: folder.path("t/tokenizer.json"))
  }

  @Test(arguments: [
    "t", "t/tokenizer.json", Fixtures.path("tiny-llama"), Fixtures.path("gguf/tiny-llama.gguf"),
  ])
  func `prints numbers and pieces by whatever holds a tokenizer`(path: String) throws {
    let result = try succeed("tokenize", path, "--text", "text.txt", "--json", in: folder)
    let document = try JSONValue(parsing: Array(result.output.utf8))
    #expect(document.keys == ["ids", "pieces", "count"])
    let ids = tokenizer.encode(Self.text)
    #expect(document["ids"]?.array?.compactMap(\.integer) == ids.map { Int($0) })
    #expect(document["pieces"]?.array?.map(\.string) == ids.map { tokenizer.token($0) })
    #expect(document["count"]?.integer == ids.count)
  }

  @Test func `prints a line for each token`() throws {
    let lines = try succeed("tokenize", "t", "--text", "text.txt", in: folder).output.split(separator: "\n")
    let ids = tokenizer.encode(Self.text)
    #expect(lines.map(String.init) == ids.map { "\($0)\t\(tokenizer.token($0) ?? "")" })
  }

  @Test func `counts`() throws {
    let count = tokenizer.encode(Self.text).count
    #expect(try succeed("tokenize", "t", "--text", "text.txt", "--count", in: folder).output == "\(count)\n")
  }

  @Test func `decodes what it encoded, through standard input`() throws {
    let script = #""$0" tokenize t --text - < text.txt | cut -f 1 | "$0" tokenize t --text - --decode"#
    #expect(try Program([], in: folder, script: script).wait().output == Self.text)
  }

  @Test(arguments: [
    ("1 2 x", "byte 4: 'x' is not the number of a token"), ("1 99999", "byte 2: there is no token 99999"),
    ("-1", "byte 0: there is no token -1"), ("99999999999", "byte 0: '99999999999' is not the number"),
  ])
  func `refuses numbers of no token`(ids: String, reason: String) throws {
    try folder.write("ids", ids)
    let result = try Program.run("tokenize", "t", "--text", "ids", "--decode", in: folder)
    #expect(result.code == 2)
    #expect(result.error.hasPrefix("rilq: ids: " + reason))
  }

  @Test(arguments: [("none", Int32(4), "none: "), (".", 2, "tokenizer.json is missing")])
  func `says where there is no tokenizer`(path: String, code: Int32, reason: String) throws {
    let result = try Program.run("tokenize", path, "--text", "text.txt", in: folder)
    #expect(result.code == code)
    #expect(result.error.contains(reason))
  }

  @Test func `text that is not UTF-8 is refused`() throws {
    try folder.write("bytes", [0x61, 0xFF])
    let result = try Program.run("tokenize", "t", "--text", "bytes", in: folder)
    #expect(result.code == 2)
    #expect(result.error.contains("byte 1"))
  }

  @Test func `counting and decoding exclude each other`() throws {
    #expect(try Program.run("tokenize", "t", "--text", "a", "--count", "--decode", in: folder).code == 64)
  }

  /// The pieces of the `tokenizers` library are what `tokenizer.json` calls them, so are ours.
  @Test(.enabled(if: PythonPeer.has("tokenizers"), "no python3 with the tokenizers package"))
  func `agrees with the tokenizers package`() throws {
    let script = """
      import json, sys, tokenizers
      tokenizer = tokenizers.Tokenizer.from_file(sys.argv[1])
      encoding = tokenizer.encode(open(sys.argv[2], encoding="utf-8", newline="").read(), add_special_tokens=False)
      print(json.dumps({"ids": encoding.ids, "pieces": encoding.tokens, "count": len(encoding.ids)}))
      """
    let path = try folder.write("peer.py", script)
    let peer = try PythonPeer.runFile(path, folder.path("t/tokenizer.json"), evaluationText)
    #expect(peer.code == 0, "\(peer.text)")
    let result = try succeed("tokenize", "t", "--text", evaluationText, "--json", in: folder)
    #expect(
      try JSONValue(parsing: Array(result.output.utf8)) == JSONValue(parsing: Array(peer.text.utf8)))
  }
}
