import Checkpoints
import Foundation
import Kernels
import TestSupport
import Testing

/// Bad files that are too large to keep, made when the tests run.
@Suite struct LargeInvalidFileTests {
  private func inspect(_ name: String, in folder: TemporaryFolder) throws -> Program.Result {
    try Program.run("inspect", name, "--json", "--quiet", in: folder)
  }

  @Test(arguments: [(100_000_000, Int32(0)), (100_000_001, 2)])
  func `a header may have 100,000,000 bytes and no more`(byteCount: Int, code: Int32) throws {
    let folder = try TemporaryFolder()
    let text = Array("{}".utf8) + [UInt8](repeating: UInt8(ascii: " "), count: byteCount - 2)
    try folder.write("long.safetensors", UInt64(byteCount).littleEndianBytes + text)
    let result = try inspect("long.safetensors", in: folder)
    #expect(result.code == code, "\(result.error)")
  }

  @Test func `100,000 tensors on one span are refused`() throws {
    let folder = try TemporaryFolder()
    let entries = (0..<100_000).map { #""t\#($0)":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}"# }
    let header = Array("{\(entries.joined(separator: ","))}".utf8)
    try folder.write(
      "overlap.safetensors", UInt64(header.count).littleEndianBytes + header + [UInt8](repeating: 0, count: 8)
    )
    let result = try inspect("overlap.safetensors", in: folder)
    #expect(result.code == 2)
    #expect(result.error.contains("its bytes overlap those of 't"))
  }

  @Test func `a shape of a million dimensions gives a short message`() throws {
    let folder = try TemporaryFolder()
    let shape = Array(repeating: "9", count: 1_000_000).joined(separator: ",")
    let header = Array(#"{"a":{"dtype":"U8","shape":[\#(shape)],"data_offsets":[0,0]}}"#.utf8)
    try folder.write("shape.safetensors", UInt64(header.count).littleEndianBytes + header)
    let result = try inspect("shape.safetensors", in: folder)
    #expect(result.code == 2)
    #expect(result.error.utf8.count < 2000)
  }

  @Test func `a container that needs more memory than there is is refused`() throws {
    let folder = try TemporaryFolder()
    // Each block of 16 MiB says that it is stored in 256 bytes, which is just allowed.
    let blockByteCount = 1 << 24
    let blockCount = ProcessMemory.machineByteCount / blockByteCount + 2
    let stored = [UInt8](repeating: 0, count: 256)
    let bytes = ContainerBytes(
      tensor: "t", rawByteCount: blockCount * blockByteCount, blockByteCount: blockByteCount, codec: 2,
      blocks: Array(repeating: stored, count: blockCount), manifest: "{}")
    try folder.write("bomb.rilq", bytes.sealed())
    #expect(try inspect("bomb.rilq", in: folder).code == 0)
    let result = try Program.run("hash", "bomb.rilq", "--quiet", in: folder)
    #expect(result.code == 2, "\(result.error)")
    #expect(result.error.contains("tensor 't': "))
    #expect(result.error.contains("are more than the memory of this machine"))
  }

  /// A reader that compares every key with every other takes much longer.
  @Test(.timeLimit(.minutes(1))) func `a manifest of 100,000 unknown keys is read in time`() throws {
    let folder = try TemporaryFolder()
    let keys = (0..<100_000).map { #""k\#($0)":0"# }
    let bytes = ContainerBytes(manifest: "{\(keys.joined(separator: ","))}")
    try folder.write("keys.rilq", bytes.sealed())
    #expect(try inspect("keys.rilq", in: folder).code == 0)
  }
}
