import Checkpoints
import Kernels
import TestSupport
import Testing

@Suite struct GGUFWriterTests {
  /// The worked example of `Formats/gguf.md`.
  @Test func `writes the header of the document`() {
    let layout = GGUFWriterLayout(
      [
        GGUFExportMember("general.architecture", .string("llama")), GGUFExportMember("n", .uint32(2)),
        GGUFExportMember("t", .array(elementType: .string, [.string("a")])),
      ],
      [
        GGUFWriterLayout.Entry(name: "w", shape: [1, 32], type: .q4_1, byteCount: 20),
        GGUFWriterLayout.Entry(name: "v", shape: [2], type: .f32, byteCount: 8),
      ])
    #expect(
      layout.headerBytes
        == bytes(
          """
          47 47 55 46 03 00 00 00 02 00 00 00 00 00 00 00 03 00 00 00 00 00 00 00
          14 00 00 00 00 00 00 00 67 65 6e 65 72 61 6c 2e 61 72 63 68 69 74 65 63 74 75 72 65
          08 00 00 00 05 00 00 00 00 00 00 00 6c 6c 61 6d 61
          01 00 00 00 00 00 00 00 6e 04 00 00 00 02 00 00 00
          01 00 00 00 00 00 00 00 74 09 00 00 00 08 00 00 00 01 00 00 00 00 00 00 00
          01 00 00 00 00 00 00 00 61
          01 00 00 00 00 00 00 00 77 02 00 00 00 20 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00
          03 00 00 00 00 00 00 00 00 00 00 00
          01 00 00 00 00 00 00 00 76 01 00 00 00 02 00 00 00 00 00 00 00 00 00 00 00 20 00 00 00 00 00 00 00
          """) + [UInt8](repeating: 0, count: 30))
    #expect(layout.offsets == [224, 256])
    #expect(layout.fileByteCount == 288)
  }

  @Test func `the same checkpoint gives the same bytes on one thread and on two`() throws {
    let folders = [try TemporaryFolder(), try TemporaryFolder()]
    for (i, folder) in folders.enumerated() {
      _ = try ThreadLimit.with(i + 1) { try GGUFSample().write(to: folder) }
    }
    #expect(try folders[0].read("out.gguf") == folders[1].read("out.gguf"))
  }

  @Test func `tells our reader how to take it back`() throws {
    let export = try GGUFSample(tables: .bf16).write(to: try TemporaryFolder())
    let texts = export.members.reduce(into: [String: String]()) { $0[$1.key] = $1.value.string }
    let quantization = try JSONValue(parsing: Array((texts["rilq.quantization"] ?? "").utf8))
    #expect(
      quantization["modules"]?["model.layers.0.mlp.up_proj"]?.compactText
        == #"{"bits":2,"group_size":64,"tables":"BF16"}"#)
    #expect(quantization["modules"]?.object?.count == 7)
    #expect(quantization["dtypes"]?["model.norm.weight"]?.string == "BF16")
    #expect(texts["rilq.metadata"] == #"{"note":"kept"}"#)
  }

  @Test func `every tensor begins at a multiple of 32`() throws {
    let folder = try TemporaryFolder()
    let export = try GGUFSample().write(to: folder)
    let layout = GGUFWriterLayout(export.members, export.entries)
    #expect(layout.offsets.allSatisfy { $0 % 32 == 0 })
    #expect(try folder.read("out.gguf").count == layout.fileByteCount)
  }
}

@Suite(.enabled(if: PythonPeer.has("gguf", "numpy"), "skipped: no Python with gguf and numpy"))
struct `gguf-py` {
  private static let samples: [GGUFSample] = [
    GGUFSample(), GGUFSample(groupSize: 32, tables: .bf16), GGUFSample(bits: 4, groupSize: 128, tables: .f32),
    GGUFSample(bits: 3), GGUFSample(bits: 8) { -128 * $0 },
  ]

  @Test(arguments: 0..<5)
  func `dequantizes what we write to our weights bit for bit`(index: Int) throws {
    let folder = try TemporaryFolder()
    try Self.samples[index].write(to: folder)
    let result = try PythonPeer.runScript("check-gguf.py", folder.path("model"), folder.path("out.gguf"))
    #expect(result.text.hasPrefix("equal 1 BF16 3 F32 7 Q"))
    #expect(result.code == 0)
  }

  @Test(arguments: [GGUFLinearType.f32, .f16])
  func `finds the same weights in a wider type`(type: GGUFLinearType) throws {
    let folder = try TemporaryFolder()
    try GGUFSample().write(to: folder, GGUFExportOptions(linearType: type))
    let result = try PythonPeer.runScript("check-gguf.py", folder.path("model"), folder.path("out.gguf"))
    #expect(result.text.hasPrefix("equal"))
  }
}
