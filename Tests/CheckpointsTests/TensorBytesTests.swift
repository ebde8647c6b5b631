import Checkpoints
import Foundation
import TestSupport
import Testing

@Suite struct TensorBytesTests {
  /// No multiple of a page.
  private static let bytes = (0..<(1 << 20) + 123).map { UInt8(truncatingIfNeeded: $0 &* 7) }

  /// The resident kilobytes of the mapping of a file with a unique name.
  private func residentKilobytes(_ name: String) throws -> Int {
    // `String(contentsOfFile:)` reads only the beginning of such a file.
    let handle = try #require(FileHandle(forReadingAtPath: "/proc/self/smaps"))
    let maps = String(decoding: try #require(try handle.readToEnd()), as: UTF8.self)
    let lines = maps.split(separator: "\n")
    let start = try #require(lines.firstIndex { $0.contains(name) })
    let line = try #require(lines[start...].first { $0.hasPrefix("Rss:") })
    return try #require(Int(line.split(separator: " ")[1]))
  }

  @Test func `discarded pages leave the memory and are read from the file again`() throws {
    let name = UUID().uuidString
    let folder = try TemporaryFolder()
    let path = try folder.write(name, Self.bytes)
    let file = try MappedFile(path: path)
    let tensor = TensorBytes(file, range: 5..<Self.bytes.count - 7)
    let expected = Self.bytes[5..<Self.bytes.count - 7]
    #expect(tensor.withSpan { $0.copiedBytes() } == Array(expected))
    let before = try residentKilobytes(name)
    tensor.discardPages()
    #expect(try residentKilobytes(name) < before / 2)
    #expect(tensor.withSpan { $0.copiedBytes() } == Array(expected))
  }

  @Test func `bytes that are in memory stay`() {
    let tensor = TensorBytes([1, 2, 3])
    tensor.discardPages()
    #expect(tensor.withSpan { $0.copiedBytes() } == [1, 2, 3])
  }
}
