import Foundation

/// A cheap fingerprint that tells whether a file is still the same.
///
/// It consists of size, modification time, inode, and the SHA-256 of the first and last 64 KiB, which hold
/// headers, tables and trailers. Reading all of a checkpoint would take as long as quantizing it. A copied or
/// touched file counts as another file.
package struct FileIdentity: Sendable, Equatable {
  /// The number of bytes at either end that are hashed.
  private static let edgeByteCount = 64 << 10

  /// The size of the file.
  package let byteCount: Int
  /// Seconds and nanoseconds since 1970.
  private let modificationTime: [Int]
  private let inode: String
  private let edges: Digest256

  /// Identifies a file.
  ///
  /// - Throws: `FormatError` when it is not a regular file or cannot be read.
  package init(of path: String) throws {
    let file = try InputFile(path: path, access: .read)
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { throw FileSystem.systemError(path) }
    byteCount = file.byteCount
    modificationTime = [status.modificationTime.tv_sec, status.modificationTime.tv_nsec]
    inode = String(status.st_ino)
    var hasher = SHA256()
    let head = min(byteCount, Self.edgeByteCount)
    let tail = max(head, byteCount - Self.edgeByteCount)
    for range in [0..<head, tail..<byteCount] {
      try file.bytes(in: range).withSpan { hasher.update($0) }
    }
    edges = hasher.finalize()
  }

  /// What a copy of the file on another machine has, too: the size and the hash of both ends.
  package var content: String { "\(byteCount) \(edges)" }

  /// The identity as an object.
  package var json: JSONValue {
    .object([
      JSONValue.Member("bytes", .integer(byteCount)),
      JSONValue.Member("modified", .array(modificationTime.map(JSONValue.integer))),
      JSONValue.Member("inode", .string(inode)), JSONValue.Member("edges", .string(edges.description)),
    ])
  }
}
