import Checkpoints
import Foundation
import TestSupport
import Testing

@Suite struct OutputFileTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test func `a file is continued after the bytes that are kept`() throws {
    let path = try folder.write("log", "kept, not kept")
    var file = try OutputFile(continuing: path, keeping: 4)
    try file.append(Array("!".utf8))
    #expect(try folder.read("log") == Array("kept!".utf8))
  }

  @Test func `a link is not followed`() throws {
    try folder.write("target", "kept")
    let link = folder.path("link")
    try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: "target")
    #expect(throws: FormatError.self) { _ = try OutputFile(continuing: link, keeping: 0) }
    #expect(try folder.read("target") == Array("kept".utf8))
  }

  @Test func `nothing but a file is continued`() throws {
    let error = #expect(throws: FormatError.self) {
      _ = try OutputFile(continuing: "/dev/null", keeping: 0)
    }
    #expect(error?.problem == .system("is not a regular file"))
  }
}
