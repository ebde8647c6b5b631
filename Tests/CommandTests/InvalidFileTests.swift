import Checkpoints
import Foundation
import TestSupport
import Testing

/// The walk over `Fixtures/invalid` and `Fixtures/valid-oddities`, with the real program.
@Suite struct InvalidFileTests {
  /// More than any message needs; names of any length are cut.
  private static let lineLimit = 5000

  @Test(arguments: try Expectation.all(in: "invalid").filter { $0.code != 0 })
  func `is refused in one line, and nothing is written`(expected: Expectation) throws {
    let result = try expected.run(in: TemporaryFolder())
    #expect(result.code == expected.code, "\(result.error)")
    #expect(result.output.isEmpty)
    #expect(result.error.hasPrefix("rilq: "))
    #expect(result.error.hasSuffix("\n") && result.error.count(where: \.isNewline) == 1)
    #expect(result.error.utf8.count < Self.lineLimit)
    for piece in expected.pieces { #expect(result.error.contains(piece), "\(result.error)") }
  }

  @Test(
    arguments: try Expectation.all(in: "valid-oddities")
      + Expectation.all(in: "invalid").filter { $0.code == 0 })
  func `is read, odd as it is`(expected: Expectation) throws {
    let result = try expected.run(in: TemporaryFolder())
    #expect(result.code == 0, "\(result.error)")
    #expect(!result.output.unicodeScalars.contains { $0.value < 0x20 && $0 != "\n" })
    for piece in expected.pieces { #expect(result.output.contains(piece), "\(result.output)") }
  }

  @Test(arguments: ["invalid", "valid-oddities"])
  func `every file has an expectation`(catalogue: String) throws {
    let names = try Expectation.all(in: catalogue).map(\.name)
    #expect(!names.isEmpty && Set(names).count == names.count)
    let known = Set(names)
    for file in try FileManager.default.subpathsOfDirectory(atPath: Fixtures.path(catalogue)) {
      var isFolder: ObjCBool = false
      _ = FileManager.default.fileExists(
        atPath: Fixtures.path("\(catalogue)/\(file)"), isDirectory: &isFolder)
      guard !isFolder.boolValue, file != "expected.json" else { continue }
      // A file belongs to an entry, or lies in a folder that is one.
      let parts = file.split(separator: "/")
      let owners = parts.indices.map { parts[...$0].joined(separator: "/") }
      #expect(owners.contains { known.contains($0) }, "\(file)")
    }
  }
}
