import Checkpoints
import Foundation
import TestSupport
import Testing

/// What makes a file another one for a run that is to go on.
@Suite struct FileIdentityTests {
  private static let byteCount = 200_000
  private let path: String
  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    path = try folder.write("x", [UInt8](repeating: 7, count: Self.byteCount))
    try setTime()
  }

  private func setTime() throws {
    let time = Date(timeIntervalSince1970: 1_000_000_000)
    try FileManager.default.setAttributes([.modificationDate: time], ofItemAtPath: path)
  }

  /// Writes a byte without changing the size, the inode and the time of the file.
  private func change(byte offset: Int) throws {
    let file = try #require(FileHandle(forUpdatingAtPath: path))
    try file.seek(toOffset: UInt64(offset))
    try file.write(contentsOf: Data([8]))
    try file.close()
    try setTime()
  }

  @Test func `a file that nobody touches stays the same`() throws {
    #expect(try FileIdentity(of: path) == FileIdentity(of: path))
    #expect(try FileIdentity(of: path).json == FileIdentity(of: path).json)
  }

  @Test(arguments: [0, byteCount - 1])
  func `a byte near either end makes it another one`(offset: Int) throws {
    let before = try FileIdentity(of: path)
    try change(byte: offset)
    #expect(try FileIdentity(of: path) != before)
    #expect(try FileIdentity(of: path).json != before.json)
  }
}
