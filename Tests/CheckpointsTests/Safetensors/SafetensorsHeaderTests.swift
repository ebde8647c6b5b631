import Checkpoints
import Kernels
import TestSupport
import Testing

@Suite struct `Safetensors header` {
  /// Parses bytes that are a whole file named `m.safetensors`.
  private func header(_ bytes: [UInt8]) throws(FormatError) -> SafetensorsHeader {
    try TensorBytes(bytes).withSpan { span throws(FormatError) in
      try SafetensorsHeader(parsing: span, path: "m.safetensors")
    }
  }

  private func problem(_ bytes: [UInt8]) -> String? {
    do throws(FormatError) {
      _ = try header(bytes)
      return nil
    } catch { return error.description }
  }

  /// A file of one entry of which only the header's JSON matters.
  private func problem(_ json: String, data: Int = 0) -> String? {
    problem(safetensors(json, [UInt8](repeating: 0, count: data)))
  }

  @Test func `reads a tiny file byte by byte`() throws {
    let bytes: [UInt8] =
      [0x3E, 0, 0, 0, 0, 0, 0, 0]
      + Array(#"{"a":{"dtype":"BF16","shape":[1,3],"data_offsets":[0,6]}}     "#.utf8)
      + [1, 2, 3, 4, 5, 6]
    let header = try header(bytes)
    #expect(header.metadata.isEmpty)
    #expect(header.entries.count == 1)
    #expect(header.entries[0].tensor == TensorInfo(name: "a", dtype: .bf16, shape: [1, 3]))
    #expect(header.entries[0].range == 70..<76)
  }

  @Test func `orders the tensors by their bytes`() throws {
    let json =
      "{\(entry("b", "U8", [1], 2, 3)),\(entry("c", "U8", [2], 0, 2)),\(entry("a", "U8", [0], 2, 2))}"
    let names = try header(safetensors(json, [1, 2, 3])).entries.map(\.tensor.name)
    #expect(names == ["c", "a", "b"])
  }

  @Test func `finds tensors by name whatever the order of the header`() throws {
    let folder = try TemporaryFolder()
    let json =
      "{\(entry("b", "U8", [1], 2, 3)),\(entry("c", "U8", [2], 0, 2)),\(entry("a", "U8", [0], 2, 2))}"
    try folder.write("m.safetensors", safetensors(json, [1, 2, 3]))
    let checkpoint = try Checkpoint.open(path: folder.path("m.safetensors"))
    #expect(try checkpoint.copiedBytes(of: "b") == [3])
    #expect(try checkpoint.copiedBytes(of: "c") == [1, 2])
    #expect(checkpoint.tensor(named: "a")?.shape == [0])
  }

  @Test func `refuses metadata that is there twice`() {
    #expect(
      problem(#"{"__metadata__":{},"__metadata__":{}}"#).says("m.safetensors: byte 27: … '__metadata__'"))
  }

  @Test func `accepts an empty object`() throws {
    #expect(try header(safetensors("{}")).entries.isEmpty)
  }

  @Test(arguments: ["null", "{}", #"{"format":"pt","x":"é"}"#])
  func `accepts metadata of strings, none, or null`(metadata: String) throws {
    let header = try header(safetensors(#"{"__metadata__":\#(metadata)}"#))
    #expect(header.metadata["x"] == (metadata.contains("x") ? "é" : nil))
  }

  @Test func `accepts white space around the header`() throws {
    let header = try header(safetensors(" \n{\(entry("a", "U8", [1], 0, 1))}\t  ", [9]))
    #expect(header.entries.count == 1)
  }

  @Test func `accepts unknown fields of an entry`() throws {
    let json = #"{"a":{"dtype":"U8","shape":[1],"x":{"y":[1,null]},"data_offsets":[0,1]}}"#
    #expect(try header(safetensors(json, [9])).entries.count == 1)
  }

  @Test func `accepts a scalar, an empty tensor and an empty name`() throws {
    let json = "{\(entry("", "F32", [], 0, 4)),\(entry("e", "F64", [0, 7], 4, 4))}"
    #expect(try header(safetensors(json, [0, 0, 0, 0])).entries.map(\.tensor.elementCount) == [1, 0])
  }

  @Test func `keeps every tensor's own shape`() throws {
    let shapes = [[2, 3], [2, 3], [2], [2, 1], [2, 1, 3], [], [1, 3], [0, 3], [0, 3]]
    var end = 0
    let entries = shapes.enumerated().map { i, shape in
      let start = end
      end += shape.reduce(1, *)
      return entry("t\(i)", "U8", shape, start, end)
    }
    let header = try header(
      safetensors("{\(entries.joined(separator: ","))}", [UInt8](repeating: 0, count: end)))
    #expect(header.entries.map(\.tensor.shape) == shapes)
  }

  @Test func `names text that is no JSON before a tensor that contradicts itself`() {
    let wrong = "{\(entry("a", "U8", [1], 0, 2)),\(entry("b", "U8", [1], 2, 9))"
    #expect(problem(wrong + "}", data: 2).says("m.safetensors: byte 9: tensor 'a': … 1 bytes … 2"))
    #expect(problem(wrong, data: 2).says("… expected ',' or '}'"))
  }

  /// A header long enough to be read in parts, with `change` instead of one of its 20,000 members.
  private func longHeader(
    name: String = "layers", metadata at: Int? = nil, changing index: Int? = nil, to change: String = ""
  ) -> [UInt8] {
    var members = (0..<20_000).map { entry("\(name).\($0).weight", "U8", [1, 3], 3 * $0, 3 * $0 + 3) }
    if let index { members[index] = change }
    if let at { members.insert(#""__metadata__":{"format":"pt"}"#, at: at) }
    return safetensors("{\(members.joined(separator: ","))}", [UInt8](repeating: 0, count: 60_000))
  }

  @Test(
    arguments: ["layers", #"a},\"b},"#], [0, 9_000, 20_000])
  func `reads a long header on any number of threads`(name: String, metadataPosition: Int) throws {
    let bytes = longHeader(name: name, metadata: metadataPosition)
    let headers = try [1, 2, 3, 8].map { count in try ThreadLimit.with(count) { try header(bytes) } }
    #expect(headers[0].tensors.count == 20_000 && headers[0].metadata == ["format": "pt"])
    for other in headers.dropFirst() {
      #expect(other.entries == headers[0].entries && other.metadata == headers[0].metadata)
    }
  }

  @Test(arguments: [
    // A name of another part, text that is no JSON, a second metadata, and a tensor that contradicts itself.
    #""layers.5.weight":{"dtype":"U8","shape":[3],"data_offsets":[57000,57003]}"#,
    #""x":{"dtype":"U8","shape":[3],"data_offsets":[57000,57003]"#,
    #""__metadata__":{}"#, #""x":{"dtype":"U8","shape":[4],"data_offsets":[57000,57003]}"#,
  ])
  func `finds the same error in a long header on any number of threads`(change: String) {
    let bytes = longHeader(metadata: 3, changing: 19_000, to: change)
    let problems = [1, 2, 8].map { count in ThreadLimit.with(count) { problem(bytes) } }
    #expect(problems[0] != nil && Set(problems).count == 1)
  }

  @Test func `escapes names in errors`() {
    #expect(
      problem(#"{"a\u001b[2J":{"dtype":"U8","shape":[]}}"#).says(
        #"m.safetensors: byte 9: tensor 'a\u{1b}[2J': … 'data_offsets' … missing"#))
  }

  @Test(
    arguments: [
      ([], "byte 0: needs 8 bytes, 0 …"),
      ([1, 2, 3], "byte 0: needs 8 bytes, 3 …"),
      ([0, 0, 0, 0, 0, 0, 0, 0], "byte 0: … 0 bytes …"),
      ([9, 0, 0, 0, 0, 0, 0, 0, 0x7B, 0x7D], "byte 8: needs 9 bytes, 2 …"),
      ([1, 0xE1, 0xF5, 5, 0, 0, 0, 0], "byte 0: … 100000001 bytes … 100000000"),
      ([0, 0xE1, 0xF5, 5, 0, 0, 0, 0], "byte 8: needs 100000000 bytes, 0 …"),
      (
        [0, 0, 0, 0, 0, 0, 0, 0x80],
        "byte 0: … 9223372036854775808 bytes … 100000000"
      ),
      (
        Array("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n".utf8),
        "… 'git lfs pull' …"
      ),
    ] as [([UInt8], String)])
  func `refuses a file without a header`(bytes: [UInt8], reason: String) {
    #expect(problem(bytes).says("m.safetensors: " + reason))
  }

  @Test(arguments: [
    ("[]", "byte 8: … '{'"),
    ("\u{FEFF}{}", "byte 8: … '{'"),
    ("{}\0\0", "byte 10: … text after …"),
    ("{} {}", "byte 11: … text after …"),
    (#"{"a":{}"#, "byte 15: … ',' … '}'"),
    (#"{"a":{"dtype":"U8","#, "byte 27: tensor 'a': … string"),
    (#"{"a":[]}"#, "byte 13: tensor 'a': … '{'"),
    (#"{"a\ud800":{}}"#, "byte 11: lone surrogate"),
    (#"{"a":1}"#, "byte 13: tensor 'a': … '{'"),
    (#"{"__metadata__":{"a":1}}"#, "byte 29: metadata: … string"),
    (#"{"__metadata__":"a"}"#, "byte 24: metadata: … '{'"),
    (#"{"__metadata__":{"a":"","a":""}}"#, "byte 32: metadata: … 'a'"),
    (#"{"__metadata__":{},"__metadata__":{}}"#, "byte 27: … '__metadata__'"),
  ])
  func `refuses what is not the JSON of a header`(json: String, reason: String) {
    #expect(problem(json).says("m.safetensors: " + reason))
  }

  @Test func `refuses deep nesting`() {
    let json = #"{"a":{"x":"# + String(repeating: "[", count: 200) + String(repeating: "]", count: 200) + "}}"
    #expect(problem(json).says("m.safetensors: byte 80: tensor 'a': … 64"))
  }

  @Test func `refuses text that is not UTF-8`() {
    let bytes = Array(#"{""#.utf8) + [0xFF] + Array(#"":{}}"#.utf8)
    #expect(problem(safetensors(headerBytes: bytes)).says("m.safetensors: byte 9: … string … UTF-8"))
  }

  @Test(arguments: [
    (#"{"shape":[],"data_offsets":[0,1]}"#, "… 'dtype' … missing"),
    (#"{"dtype":"U8","data_offsets":[0,1]}"#, "… 'shape' … missing"),
    (#"{"dtype":"U8","shape":[]}"#, "… 'data_offsets' … missing"),
    (#"{"dtype":"u8","shape":[],"data_offsets":[0,1]}"#, "… 'u8' …"),
    (#"{"dtype":"F128","shape":[],"data_offsets":[0,1]}"#, "… 'F128' …"),
    (#"{"dtype":"U8","shape":[],"data_offsets":[0,1,1]}"#, "data_offsets … 3 numbers … 2"),
    (#"{"dtype":"U8","shape":[],"data_offsets":[1,0]}"#, "data_offsets … [1, 0]"),
    (#"{"dtype":"U8","shape":[2],"data_offsets":[0,1]}"#, "… [2] … U8 … 2 bytes, data_offsets … 1"),
    (#"{"dtype":"F4","shape":[3],"data_offsets":[0,1]}"#, "… [3] … F4 …"),
    (
      #"{"dtype":"U8","shape":[9223372036854775807,4,0],"data_offsets":[0,0]}"#,
      "… [9223372036854775807, 4, 0] … U8 …"
    ),
    (
      #"{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,1]}"#,
      "… [4611686018427387904] … F32 …"
    ),
    (#"{"dtype":"U8","shape":[2],"data_offsets":[0,2]}"#, "needs 2 bytes, 1 …"),
    (#"{"dtype":"U8","shape":[2],"data_offsets":[5,7]}"#, "needs 2 bytes, 0 …"),
  ])
  func `refuses an entry whose fields are missing or disagree`(fields: String, reason: String) {
    #expect(problem(#"{"a":\#(fields)}"#, data: 1).says("m.safetensors: byte 9: tensor 'a': " + reason))
  }

  @Test(arguments: [
    ("4.0", "4.0 is not an integer from 0 to 2^63 - 1"), ("-4", "-4 is not an integer from 0 to 2^63 - 1"),
    ("1e1", "1e1 is not an integer from 0 to 2^63 - 1"), ("-0", "-0 is not an integer from 0 to 2^63 - 1"),
    ("9223372036854775808", "9223372036854775808 is not an integer from 0 to 2^63 - 1"),
    ("\"4\"", "expected a number"), ("null", "expected a number"), ("04", "expected ',' or ']'"),
  ])
  func `refuses a dimension that is not a count`(dimension: String, reason: String) {
    let found = problem(#"{"a":{"dtype":"U8","shape":[\#(dimension)],"data_offsets":[0,4]}}"#, data: 4)
    #expect(found?.hasSuffix("tensor 'a': " + reason) == true)
  }

  @Test func `refuses a repeated name, also of the same bytes`() {
    let json = "{\(entry("a", "U8", [1], 0, 1)),\(entry("a", "U8", [1], 0, 1))}"
    #expect(problem(json, data: 1).says("m.safetensors: byte 61: … 'a'"))
  }

  @Test func `refuses a repeated name among many`() {
    let entries = (0..<20).map { entry("t\($0 % 19)", "U8", [0], 0, 0) }
    #expect(problem("{\(entries.joined(separator: ","))}")?.hasSuffix("duplicate key 't0'") == true)
  }

  @Test func `refuses a repeated field`() {
    let json = #"{"a":{"dtype":"U8","dtype":"U8","shape":[],"data_offsets":[0,1]}}"#
    #expect(problem(json, data: 1).says("m.safetensors: byte 27: tensor 'a': … 'dtype'"))
  }

  @Test func `refuses a hole between tensors`() {
    let json = "{\(entry("a", "U8", [1], 0, 1)),\(entry("b", "U8", [1], 3, 4))}"
    #expect(
      problem(json, data: 4).says("m.safetensors: byte 114: tensor 'b': 2 bytes …"))
  }

  @Test func `refuses overlapping tensors`() {
    let json = "{\(entry("a", "U8", [2], 0, 2)),\(entry("b", "U8", [2], 1, 3))}"
    #expect(
      problem(json, data: 3).says("m.safetensors: byte 114: tensor 'b': … 'a'"))
  }

  @Test func `refuses an empty tensor inside another`() {
    let json = "{\(entry("a", "U8", [2], 0, 2)),\(entry("b", "U8", [0], 1, 1))}"
    #expect(problem(json, data: 2)?.hasSuffix("tensor 'b': its bytes overlap those of 'a'") == true)
  }

  @Test func `refuses bytes after the last tensor`() {
    let json = "{\(entry("a", "U8", [1], 0, 1))}"
    #expect(problem(json, data: 3).says("m.safetensors: byte 62: 2 bytes …"))
  }

  @Test func `refuses bytes after no tensor`() {
    #expect(problem("{}", data: 1).says("m.safetensors: byte 10: 1 bytes …"))
  }
}
