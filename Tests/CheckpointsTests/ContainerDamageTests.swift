import Checkpoints
import TestSupport
import Testing

@Suite struct ContainerDamageTests {
  /// The worked example, and smooth tensors whose blocks are compressed and filtered.
  static let samples: [[UInt8]] =
    (try? [
      ContainerSample.worked.fileBytes(.init(compression: .none)),
      smooth.fileBytes(.init(blockByteCount: 128)),
      smooth.fileBytes(.init(compression: .zlib, keepsMappable: false, blockByteCount: 256)),
    ]) ?? []

  private static var smooth: ContainerSample {
    let infos = [DType.f16, .f32, .i8].map { TensorInfo(name: $0.rawValue, dtype: $0, shape: [75]) }
    let text = [UInt8](repeating: UInt8(ascii: "a"), count: 300)
    return ContainerSample(
      CheckpointContents(tensors: infos, assets: [Asset(name: "text", byteCount: text.count)]),
      tensors: infos.map { info in (0..<info.byteCount).map { $0 % 2 == 0 ? UInt8($0 % 16) : 63 } },
      assets: [text])
  }

  private func isRefused(_ bytes: [UInt8], in folder: TemporaryFolder) throws -> Bool {
    let path = try folder.write("a.rilq", bytes)
    do {
      try ContainerFile(path: path).verify()
      return false
    } catch is FormatError {
      return true
    }
  }

  @Test func `has samples`() { #expect(Self.samples.count == 3) }

  @Test(arguments: samples.indices) func `notices one changed bit in any byte`(sample: Int) throws {
    let folder = try TemporaryFolder()
    var bytes = Self.samples[sample]
    var unnoticed: [Int] = []
    for offset in bytes.indices {
      bytes[offset] ^= 1 << (offset % 8)
      if try !isRefused(bytes, in: folder) { unnoticed.append(offset) }
      bytes[offset] ^= 1 << (offset % 8)
    }
    #expect(unnoticed == [])
  }

  @Test(arguments: samples.indices) func `notices every truncation`(sample: Int) throws {
    let folder = try TemporaryFolder()
    let bytes = Self.samples[sample]
    let unnoticed = try bytes.indices.filter { try !isRefused(Array(bytes[..<$0]), in: folder) }
    #expect(unnoticed == [])
  }

  @Test(arguments: samples.indices) func `notices bytes at the end`(sample: Int) throws {
    let folder = try TemporaryFolder()
    #expect(try isRefused(Self.samples[sample] + [0], in: folder))
    #expect(try isRefused(Self.samples[sample] + Self.samples[sample], in: folder))
  }

  @Test func `says when a transfer as text has changed the file`() throws {
    let folder = try TemporaryFolder()
    var bytes = Self.samples[0]
    bytes.remove(at: 4)
    let path = try folder.write("a.rilq", bytes)
    #expect(
      throws: FormatError(
        path, byte: 4, at: "header", .malformed("the magic is damaged, as by a transfer as text"))
    ) {
      try Checkpoint.openContainer(path: path)
    }
  }

  @Test func `names the section and the block of a damaged byte`() throws {
    let folder = try TemporaryFolder()
    var bytes = Self.samples[0]
    bytes[128] ^= 1
    let checkpoint = try Checkpoint.openContainer(path: folder.write("a.rilq", bytes))
    #expect(try checkpoint.bytes(of: "m.weight").count == 8)
    let error = #expect(throws: FormatError.self) { try checkpoint.bytes(of: "m.scales") }
    #expect(error?.byteOffset == 128)
    #expect(error?.place == "tensor 'm.scales', block 0")
    #expect(error?.problem == .checksum(stored: "2232c6a5", computed: "3b29f7e4"))
  }
}
