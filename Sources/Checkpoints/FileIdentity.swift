import Foundation

/// A cheap fingerprint that tells whether a file is still the same.
///
/// A file of at most 64 MiB is known by its contents, so that a copy of it is the same file. Reading all of a
/// checkpoint would take as long as quantizing it: a larger file is known by its size, its modification time, its
/// inode, and its first and last 64 KiB, which hold headers, tables and trailers. A copy of it, or the file itself
/// when it was touched, counts as another file.
package struct FileIdentity: Sendable, Equatable {
  /// The largest file that is hashed as a whole, which takes a processor less than half a second.
  package static let wholeByteLimit = 64 << 20
  /// The number of bytes at either end of a larger file that are hashed.
  private static let edgeByteCount = 64 << 10
  /// The number of bytes that are read at once.
  private static let chunkByteCount = 1 << 20

  /// The size of the file.
  package let byteCount: Int
  private let digest: Digest256
  /// When and where a larger file was written; nil for a file that is hashed as a whole.
  private let origin: Origin?

  private struct Origin: Equatable {
    /// Seconds and nanoseconds since 1970.
    let modificationTime: [Int]
    let inode: String

    init(of path: String) throws {
      var status = stat()
      guard unsafe stat(path, &status) == 0 else { throw FileSystem.systemError(path) }
      modificationTime = [status.modificationTime.tv_sec, status.modificationTime.tv_nsec]
      inode = String(status.st_ino)
    }
  }

  /// Identifies a file.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - wholeByteLimit: The largest file that is hashed as a whole.
  /// - Throws: `FormatError` when it is not a regular file or cannot be read.
  package init(of path: String, wholeByteLimit: Int = Self.wholeByteLimit) throws {
    let file = try InputFile(path: path, access: .read)
    byteCount = file.byteCount
    let isWhole = byteCount <= wholeByteLimit
    origin = isWhole ? nil : try Origin(of: path)
    var hasher = SHA256()
    let head = isWhole ? byteCount : min(byteCount, Self.edgeByteCount)
    let tail = max(head, byteCount - Self.edgeByteCount)
    for range in [0..<head, tail..<byteCount] {
      for start in stride(from: range.lowerBound, to: range.upperBound, by: Self.chunkByteCount) {
        let end = min(start + Self.chunkByteCount, range.upperBound)
        try file.bytes(in: start..<end).withSpan { hasher.update($0) }
      }
    }
    digest = hasher.finalize()
  }

  /// What a copy of the file on another machine has, too: the size and the hash.
  package var content: String { "\(byteCount) \(digest)" }

  /// The identity as an object.
  package var json: JSONValue {
    guard let origin else {
      return .object([
        JSONValue.Member("bytes", .integer(byteCount)),
        JSONValue.Member("sha256", .string(digest.description)),
      ])
    }
    return .object([
      JSONValue.Member("bytes", .integer(byteCount)),
      JSONValue.Member("modified", .array(origin.modificationTime.map(JSONValue.integer))),
      JSONValue.Member("inode", .string(origin.inode)),
      JSONValue.Member("edges", .string(digest.description)),
    ])
  }
}
