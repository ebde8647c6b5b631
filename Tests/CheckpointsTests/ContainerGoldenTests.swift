import Checkpoints
import Foundation
import TestSupport
import Testing

@Suite struct ContainerGoldenTests {
  /// The hex dump at the end of the document: offset, then up to 16 bytes a line.
  private func documentedBytes() throws -> [UInt8] {
    let document = try String(contentsOfFile: Fixtures.root + "/Formats/container.md", encoding: .utf8)
    let example = try #require(document.components(separatedBy: "## Worked example").last)
    var bytes: [UInt8] = []
    for line in example.split(separator: "\n") {
      guard let colon = line.firstIndex(of: ":"), let offset = Int(line[..<colon], radix: 16) else {
        continue
      }
      #expect(offset == bytes.count)
      let hex = line[line.index(after: colon)...].prefix(48)
      bytes += hex.split(separator: " ").compactMap { UInt8($0, radix: 16) }
    }
    return bytes
  }

  @Test func `writes the worked example byte for byte`() throws {
    #expect(try ContainerSample.worked.fileBytes(.init(compression: .none)) == documentedBytes())
  }

  @Test func `reads the worked example`() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("a.rilq", documentedBytes())
    #expect(try ContainerSample(reading: path) == .worked)
    #expect(try Checkpoint.openContainer(path: path).format == .rilq)
  }
}
