import Checkpoints
import Foundation
import TestSupport
import Testing

/// A file whose checksums are right and whose contents are not.
struct ContainerLie: Sendable, CustomTestStringConvertible {
  let testDescription: String
  /// Part of the message of the error.
  let reason: String
  let edit: @Sendable (inout [UInt8]) -> Void

  init(_ name: String, _ reason: String, _ edit: @escaping @Sendable (inout [UInt8]) -> Void) {
    testDescription = name
    self.reason = reason
    self.edit = edit
  }

  /// The worked example with the lie in it.
  func bytes() throws -> [UInt8] {
    var bytes = try ContainerSample.worked.fileBytes(.init(compression: .none))
    edit(&bytes)
    ContainerSeal.seal(&bytes, includingBlocks: false)
    return bytes
  }
}

extension ContainerLie {
  /// Records of the worked example: `m.weight`, `config.json` and the manifest, from the start of the file.
  private static let weight = 0x1C0
  private static let config = 0x2E0
  private static let manifest = 0x333
  private static let trailer = 0x37B

  private static func record(
    _ name: String, _ reason: String, at offset: Int, _ value: UInt64, bytes count: Int = 1
  ) -> ContainerLie {
    ContainerLie(name, reason) { $0.set(value, at: offset, bytes: count) }
  }

  /// Replaces text of the manifest by as many bytes.
  private static func manifestText(_ old: String, _ new: String, _ reason: String) -> ContainerLie {
    ContainerLie("manifest with \(new)", reason) { bytes in
      let text = String(decoding: bytes[0x140..<0x198], as: UTF8.self).replacingOccurrences(
        of: old, with: new)
      bytes.replaceSubrange(0x140..<0x198, with: Array(text.utf8))
      bytes.set(UInt64(bytes[0x140..<0x198].crc32), at: trailer - 4, bytes: 4)
    }
  }

  static let header: [ContainerLie] = [
    record("major version", "major version 2", at: 8, 2, bytes: 2),
    record("required feature", "required feature bit 5", at: 16, 32, bytes: 8),
    record("zero in the header", "must be zero", at: 40, 1),
    record("zero beside the version", "must be zero", at: 12, 1),
  ]

  static let trailers: [ContainerLie] = [
    record("file size", "the file has 971 bytes, not 972", at: trailer + 16, 972, bytes: 8),
    record("table offset", "does not end at the trailer", at: trailer, 0x200, bytes: 8),
    record("table offset of 2^64 - 64", "does not end at the trailer", at: trailer, .max - 63, bytes: 8),
    record("table size", "does not end at the trailer", at: trailer + 8, .max, bytes: 8),
    record("section count", "4294967295 sections in a table", at: trailer + 24, 0xFFFF_FFFF, bytes: 4),
    record("one section more", "needs 64 bytes, 0 are left", at: trailer + 24, 6, bytes: 4),
    record("one section less", "bytes after its last record", at: trailer + 24, 4, bytes: 4),
    record("zero in the trailer", "must be zero", at: trailer + 64, 1),
  ]

  static let records: [ContainerLie] = [
    record("kind", "section kind 9", at: weight, 9),
    record("dtype", "dtype 99", at: weight + 1, 99),
    record("dtype 0", "dtype 0", at: weight + 1, 0),
    record("codec", "codec 7", at: weight + 2, 7),
    record("filter", "filter 3", at: weight + 3, 3),
    record("filter of a raw section", "filter 2 is only for compressed tensors", at: weight + 3, 2),
    record("rank", "rank 9", at: weight + 4, 9),
    record("zero in a record", "must be zero", at: weight + 5, 1),
    record("second zero in a record", "must be zero", at: weight + 12, 1, bytes: 4),
    record("name length", "needs 65535 bytes", at: weight + 6, 0xFFFF, bytes: 2),
    record("block size 0", "block size is 0", at: weight + 8, 0, bytes: 4),
    record("block size 65", "block size is 65", at: weight + 8, 65, bytes: 4),
    record("block size over 16 MiB", "block size is 16777280", at: weight + 8, 1 << 24 + 64, bytes: 4),
    record("offset", "begins at 128, not after byte 64", at: weight + 16, 128, bytes: 8),
    record("offset 2^63", "beyond 2^63", at: weight + 16, 1 << 63, bytes: 8),
    record("raw size", "raw size is 12, U32 [1, 2] has 8", at: weight + 24, 12, bytes: 8),
    record("raw size 2^63", "beyond 2^63", at: weight + 24, 1 << 63, bytes: 8),
    record("dimension", "raw size is 8, U32 [2, 2] has 16", at: weight + 64, 2, bytes: 8),
    record("dimension 2^62", "overflows", at: weight + 64, 1 << 62, bytes: 8),
    record("dimension 2^64 - 1", "beyond 2^63", at: weight + 64, .max, bytes: 8),
    record("name that is not UTF-8", "not UTF-8", at: weight + 80, 0xFF),
    record(
      "stored size", "8 bytes are said to be stored in 4294967295", at: weight + 88, 0xFFFF_FFFF, bytes: 4),
    record("stored size 0", "8 bytes are said to be stored in 0", at: weight + 88, 0, bytes: 4),
    record("dtype of an asset", "must be zero", at: config + 1, 2),
    record("filter of an asset", "filter 2", at: config + 3, 2),
    record("asset without a name", "not a path inside a folder", at: manifest, 2),
    record("manifest with a name", "has a name", at: config, 3),
    record("asset of 2^62 bytes", "are left", at: config + 24, 1 << 62, bytes: 8),
  ]

  static let names: [ContainerLie] = [
    ContainerLie("two tensors of a name", "there are two of this name") {
      $0.replaceSubrange(0x2D0..<0x2D8, with: Array("m.scales".utf8))
    },
    ContainerLie("asset outside the folder", "not a path inside a folder") {
      $0.replaceSubrange(0x320..<0x32B, with: Array("../fig.json".utf8))
    },
    ContainerLie("absolute asset", "not a path inside a folder") {
      $0.replaceSubrange(0x320..<0x32B, with: Array("/onfig.json".utf8))
    },
    ContainerLie("asset with a NUL", "not a path inside a folder") { $0[0x322] = 0 },
  ]

  static let manifests: [ContainerLie] = [
    manifestText("{\"bits\"", "[\"bits\"", "expected"),
    manifestText("\"bits\":2", "\"bits\":7", "'bits' is not 2, 3, 4, 5, 6 or 8"),
    manifestText("\"bits\":2", "\"bats\":2", "unknown key 'bats'"),
    manifestText(":32", ":-2", "'group_size' is not a positive integer"),
    manifestText("metadata", "\\xetadat", "no such escape"),
    manifestText(
      "{\"source\":\"worked example\"}", "[0,                      0]", "'metadata' is not an object"),
    manifestText("\"metadata\"", "\"metadata\u{1}", "control character"),
  ]

  static let all = header + trailers + records + names + manifests
}

@Suite struct ContainerRefusalTests {
  @Test(arguments: ContainerLie.all) func `refuses`(lie: ContainerLie) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("a.rilq", lie.bytes())
    let error = #expect(throws: FormatError.self) { try ContainerFile(path: path) }
    #expect(error?.description.contains(lie.reason) == true, "\(error.map(\.description) ?? "")")
  }

  @Test func `refuses a tensor behind an asset`() throws {
    let sample = ContainerSample(
      CheckpointContents(
        tensors: [], assets: [Asset(name: "a", byteCount: 1), Asset(name: "b", byteCount: 1)]),
      tensors: [], assets: [[1], [2]])
    var bytes = try sample.fileBytes()
    let second = bytes.tableOffset + 64 + 1 + 8
    bytes[second] = 1
    bytes[second + 1] = 2
    ContainerSeal.seal(&bytes, includingBlocks: false)
    try expectError("out of order", bytes)
  }

  @Test func `refuses a block that yields more bytes than it says`() throws {
    let zeros = ContainerSample(
      CheckpointContents(tensors: [TensorInfo(name: "t", dtype: .u8, shape: [4096])]),
      tensors: [[UInt8](repeating: 0, count: 4096)], assets: [])
    var bytes = try zeros.fileBytes()
    bytes.set(2048, at: bytes.tableOffset + 24, bytes: 8)
    bytes.set(2048, at: bytes.tableOffset + 64, bytes: 8)
    ContainerSeal.seal(&bytes, includingBlocks: false)
    try expectError("does not decompress to its 2048 bytes", bytes)
  }

  @Test func `refuses a digest that the bytes do not have`() throws {
    var bytes = try ContainerSample.worked.fileBytes(.init(compression: .none))
    bytes[0x1E0] ^= 1
    ContainerSeal.seal(&bytes, includingBlocks: false)
    try expectError("tensor 'm.weight': checksum is 50ee", bytes)
  }

  @Test func `keeps an unknown key of the manifest as metadata`() throws {
    var bytes = try ContainerSample.worked.fileBytes(.init(compression: .none))
    bytes.replaceSubrange(0x172..<0x17A, with: Array("whatever".utf8))
    bytes.set(UInt64(bytes[0x140..<0x198].crc32), at: bytes.count - 84, bytes: 4)
    ContainerSeal.seal(&bytes, includingBlocks: false)
    let folder = try TemporaryFolder()
    let contents = try Checkpoint.openContainer(path: folder.write("a.rilq", bytes)).contents
    #expect(contents.metadata["whatever"]?["source"]?.string == "worked example")
  }

  private func expectError(_ reason: String, _ bytes: [UInt8]) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("a.rilq", bytes)
    let error = #expect(throws: FormatError.self) { try ContainerSample(reading: path) }
    #expect(error?.description.contains(reason) == true, "\(error.map(\.description) ?? "")")
  }
}

@Suite struct ContainerWriterTests {
  private func expectRefused(
    _ contents: CheckpointContents, _ reason: String, _ options: ContainerOptions = .init()
  ) throws {
    let folder = try TemporaryFolder()
    let path = folder.path("a.rilq")
    let error = #expect(throws: FormatError.self) {
      try ContainerWriter(contents, path: path, options: options)
    }
    #expect(error?.description.contains(reason) == true, "\(error.map(\.description) ?? "")")
    #expect(try FileSystem.kind(of: path) == nil)
  }

  @Test func `refuses a tensor of nine dimensions`() throws {
    let tensor = TensorInfo(name: "t", dtype: .u8, shape: [1, 1, 1, 1, 1, 1, 1, 1, 1])
    try expectRefused(CheckpointContents(tensors: [tensor]), "rank 9")
  }

  @Test func `refuses two tensors of a name`() throws {
    let tensor = TensorInfo(name: "t", dtype: .u8, shape: [])
    try expectRefused(CheckpointContents(tensors: [tensor, tensor]), "two of this name")
  }

  @Test func `refuses a name that is too long`() throws {
    let tensor = TensorInfo(name: String(repeating: "n", count: 65_536), dtype: .u8, shape: [])
    try expectRefused(CheckpointContents(tensors: [tensor]), "a name of 65536 bytes")
  }

  @Test(arguments: ["", "/a", "a//b", "..", "a/../b", "a\\b", "."])
  func `refuses an asset outside its folder`(name: String) throws {
    try expectRefused(
      CheckpointContents(tensors: [], assets: [Asset(name: name, byteCount: 0)]), "not a path inside")
  }

  @Test func `refuses parameters that could not be read back`() throws {
    let quantization = ["m": QuantizedLayout(bits: 7, groupSize: 32)]
    try expectRefused(CheckpointContents(tensors: [], quantization: quantization), "'bits'")
    let adapter = AdapterParameters(kind: .dense, rank: 1, alpha: .nan)
    try expectRefused(CheckpointContents(tensors: [], adapter: adapter), "'alpha'")
  }

  @Test func `refuses options outside the limits`() throws {
    let none = CheckpointContents(tensors: [])
    try expectRefused(none, "zstd level 40", .init(compression: .zstd(level: 40)))
    try expectRefused(none, "block size of 100", .init(blockByteCount: 100))
    try expectRefused(none, "block size of 33554432", .init(blockByteCount: 1 << 25))
  }
}
