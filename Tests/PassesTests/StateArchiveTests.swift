import Checkpoints
import Passes
import TestSupport
import Testing

@Suite struct StateArchiveTests {
  private let folder: TemporaryFolder
  private let path: String

  init() throws {
    folder = try TemporaryFolder()
    path = folder.path("state")
    var writer = try StateWriter(creating: path, header: "numbers")
    var (floats, bytes): ([Float], [UInt8]) = ([1, -2, .infinity], [7, 255])
    try writer.exchange(&floats)
    try writer.exchange(&bytes)
    try writer.finish()
  }

  @Test func `reads the lists that were written, in their order`() throws {
    var reader = try StateReader(path: path)
    var (floats, bytes) = ([Float](repeating: 0, count: 3), [UInt8](repeating: 0, count: 2))
    try reader.exchange(&floats)
    try reader.exchange(&bytes)
    try reader.finish()
    #expect(reader.header == Array("numbers".utf8) && floats == [1, -2, .infinity] && bytes == [7, 255])
  }

  @Test func `refuses a file in which any bit has changed`() throws {
    let written = try folder.read("state")
    for index in written.indices {
      var bytes = written
      bytes[index] ^= 1 << (index % 8)
      try folder.write("state", bytes)
      #expect(throws: FormatError.self, "byte \(index)") { _ = try StateReader(path: path) }
    }
  }

  @Test func `refuses a file that is cut short anywhere`() throws {
    let written = try folder.read("state")
    for count in written.indices {
      try folder.write("state", Array(written[..<count]))
      #expect(throws: FormatError.self, "\(count) bytes") { _ = try StateReader(path: path) }
    }
  }

  @Test func `refuses lists longer or shorter than those written`() throws {
    var reader = try StateReader(path: path)
    var longer = [Float](repeating: 0, count: 4)
    #expect(throws: FormatError(path, .truncated(needed: 16, available: 14))) { try reader.exchange(&longer) }
    var shorter = [Float](repeating: 0, count: 2)
    try reader.exchange(&shorter)
    #expect(throws: FormatError.self) { try reader.finish() }
  }
}
