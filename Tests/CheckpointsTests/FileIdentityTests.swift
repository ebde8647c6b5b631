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
    try setTime(1_000_000_000)
  }

  private func setTime(_ seconds: Int) throws {
    let time = Date(timeIntervalSince1970: TimeInterval(seconds))
    try FileManager.default.setAttributes([.modificationDate: time], ofItemAtPath: path)
  }

  /// Writes a byte without changing the size, the inode and the time of the file.
  private func change(byte offset: Int) throws {
    let file = try #require(FileHandle(forUpdatingAtPath: path))
    try file.seek(toOffset: UInt64(offset))
    try file.write(contentsOf: Data([8]))
    try file.close()
    try setTime(1_000_000_000)
  }

  /// The identity as a file that is hashed as a whole, or as one that is too large for that.
  private func identity(isLarge: Bool) throws -> FileIdentity {
    try FileIdentity(of: path, wholeByteLimit: isLarge ? Self.byteCount - 1 : Self.byteCount)
  }

  @Test(arguments: [false, true])
  func `a file that nobody touches stays the same`(isLarge: Bool) throws {
    let before = try identity(isLarge: isLarge)
    #expect(try identity(isLarge: isLarge) == before)
    #expect(try identity(isLarge: isLarge).json == before.json)
  }

  @Test(arguments: [0, byteCount - 1], [false, true])
  func `a byte near either end makes it another one`(offset: Int, isLarge: Bool) throws {
    let before = try identity(isLarge: isLarge)
    try change(byte: offset)
    #expect(try identity(isLarge: isLarge) != before)
    #expect(try identity(isLarge: isLarge).json != before.json)
  }

  @Test func `a byte in the middle makes a small file another one`() throws {
    let before = try FileIdentity(of: path)
    try change(byte: Self.byteCount / 2)
    #expect(try FileIdentity(of: path) != before)
    #expect(try FileIdentity(of: path).json != before.json)
  }

  @Test func `another time makes only a large file another one`() throws {
    let (small, large) = (try identity(isLarge: false), try identity(isLarge: true))
    try setTime(1_000_000_001)
    #expect(try identity(isLarge: false).json == small.json)
    #expect(try identity(isLarge: true).json != large.json)
  }

  @Test func `a copy is the same small file, and another large one with the same content`() throws {
    let (small, large) = (try identity(isLarge: false), try identity(isLarge: true))
    let contents = try Data(contentsOf: URL(fileURLWithPath: path))
    try FileManager.default.removeItem(atPath: path)
    _ = try folder.write("keeps the inode", [0])
    _ = try folder.write("x", [UInt8](contents))
    try setTime(1_000_000_000)
    #expect(try identity(isLarge: false).json == small.json)
    #expect(try identity(isLarge: true).json != large.json)
    #expect(try identity(isLarge: true).content == large.content)
  }
}
