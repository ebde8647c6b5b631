import Checkpoints
import Foundation
import TestSupport
import Testing

@Suite struct `Input file` {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private static let accesses: [FileAccess] = [.mapped, .read]
  /// Longer than what one thread reads at once, and no multiple of a page.
  private static let byteCount = (9 << 20) + 123

  private func bytes(_ file: InputFile, _ range: Range<Int>) throws -> [UInt8] {
    try file.bytes(in: range).withSpan { $0.copiedBytes() }
  }

  @Test(arguments: accesses)
  func `gives the bytes of any range`(access: FileAccess) throws {
    let contents = (0..<Self.byteCount).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 16) }
    let file = try InputFile(path: folder.write("a", contents), access: access)
    #expect(file.byteCount == contents.count)
    for range in [0..<0, 0..<1, 5..<5000, 4095..<8193, 1 << 20..<Self.byteCount, 0..<Self.byteCount] {
      // Twice: the pages of the first time have been given back.
      #expect(try bytes(file, range) == Array(contents[range]))
      #expect(try bytes(file, range) == Array(contents[range]))
    }
  }

  @Test(arguments: accesses)
  func `opens an empty file`(access: FileAccess) throws {
    let file = try InputFile(path: folder.write("empty", ""), access: access)
    #expect(try bytes(file, 0..<0).isEmpty)
  }

  @Test(arguments: accesses)
  func `refuses what is no file`(access: FileAccess) throws {
    #expect(
      message(in: folder) { _ = try InputFile(path: folder.path("none"), access: access) }.says(
        "/none: … missing"))
    #expect(
      message(in: folder) { _ = try InputFile(path: folder.path, access: access) }.says(": … folder … file"))
  }

  @Test func `notices a file that was shortened`() throws {
    let file = try InputFile(path: folder.write("a", [UInt8](repeating: 1, count: 100)), access: .read)
    #expect(truncate(file.path, 40) == 0)
    #expect(
      message(in: folder) { _ = try bytes(file, 20..<60) }.says("/a: byte 40: ends …"))
  }

  @Test func `notices a file that was written to`() throws {
    let file = try InputFile(path: folder.write("a", [UInt8](repeating: 1, count: 100)), access: .read)
    let handle = try #require(FileHandle(forWritingAtPath: file.path))
    try handle.write(contentsOf: [2])
    try handle.close()
    // The clock of a file system may stand still for some milliseconds.
    try FileManager.default.setAttributes(
      [.modificationDate: Date(timeIntervalSince1970: 1)], ofItemAtPath: file.path)
    #expect(
      message(in: folder) { _ = try bytes(file, 20..<60) }.says("/a: … changed while …"))
  }

  @Test func `goes on with the file it has opened when another one takes the name`() throws {
    let file = try InputFile(path: folder.write("a", [1, 2, 3]), access: .read)
    try FileManager.default.removeItem(atPath: file.path)
    try folder.write("a", [9])
    #expect(try bytes(file, 0..<3) == [1, 2, 3])
  }

  @Test func `every checkpoint is the same mapped and read`() throws {
    let sample = try TinyModel { $0.shardByteLimit = 300_000 }.write(to: folder.path("model"))
    let read = try Checkpoint.open(path: sample.path, access: .read)
    #expect(read.contents == sample.contents)
    for tensor in sample.contents.tensors {
      #expect(try read.bytes(of: tensor.name).array == sample.bytes(of: tensor.name).array)
    }
    for asset in sample.contents.assets {
      #expect(try read.asset(named: asset.name)?.array == sample.asset(named: asset.name)?.array)
    }
  }

  @Test(arguments: [ContainerCompression.none, .zlib, .zstd(level: 3)])
  func `a container is the same mapped and read`(compression: ContainerCompression) throws {
    let sample = try TinyModel().write(to: folder.path("model"))
    let writer = try ContainerWriter(
      sample.contents, path: folder.path("a.rilq"),
      options: ContainerOptions(compression: compression, blockByteCount: 4096))
    for tensor in sample.contents.tensors {
      try sample.bytes(of: tensor.name).withSpan { try writer.write(tensor, $0) }
    }
    for asset in sample.contents.assets {
      try #require(try sample.asset(named: asset.name)).withSpan { try writer.write(asset, $0) }
    }
    _ = try writer.finish()
    let read = try Checkpoint.open(path: folder.path("a.rilq"), access: .read)
    for tensor in sample.contents.tensors {
      #expect(try read.bytes(of: tensor.name).array == sample.bytes(of: tensor.name).array)
    }
  }
}
