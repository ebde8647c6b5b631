internal import CSystem
import Foundation
import Synchronization

/// A new file being written; closed when it goes away.
package struct OutputFile: ~Copyable {
  private let descriptor: Int32
  package let path: String
  /// The number of bytes appended so far.
  package private(set) var byteCount = 0
  /// The number of bytes that the system was told to start writing to disk.
  private let begunByteCount = Atomic(0)
  private static var bytesPerBeginning: Int { 8 << 20 }

  private init(descriptor: Int32, path: String) {
    self.descriptor = descriptor
    self.path = path
  }

  deinit { close(descriptor) }

  /// Creates a file, or empties the one that is there.
  package init(creating path: String) throws {
    let descriptor = unsafe Foundation.open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw FileSystem.systemError(path) }
    self.init(descriptor: descriptor, path: path)
  }

  /// Opens a regular file for appending, and creates it when nothing is there.
  ///
  /// - Parameters:
  ///   - path: The file; a link is not followed.
  ///   - byteCount: The number of bytes at its beginning to keep.
  /// - Throws: `FormatError` when it cannot be opened or is not a regular file.
  package init(continuing path: String, keeping byteCount: Int) throws {
    self.init(descriptor: try Self.open(continuing: path, keeping: byteCount), path: path)
    self.byteCount = byteCount
  }

  private static func open(continuing path: String, keeping byteCount: Int) throws -> Int32 {
    // Without O_NONBLOCK a FIFO would wait for a reader.
    let flags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC
    let descriptor = unsafe Foundation.open(path, flags, 0o644)
    guard descriptor >= 0 else { throw FileSystem.systemError(path) }
    do {
      var status = stat()
      guard unsafe fstat(descriptor, &status) == 0 else { throw FileSystem.systemError(path) }
      guard status.st_mode & S_IFMT == S_IFREG else {
        throw FormatError(path, .system("is not a regular file"))
      }
      guard ftruncate(descriptor, off_t(byteCount)) == 0 else { throw FileSystem.systemError(path) }
    } catch {
      close(descriptor)
      throw error
    }
    return descriptor
  }

  /// Appends bytes.
  package mutating func append(_ bytes: RawSpan) throws {
    try write(bytes, at: byteCount)
    byteCount += bytes.byteCount
  }

  /// Starts writing complete pages to disk while the next bytes are computed, so that `sync` waits less.
  private func beginWriting(upTo end: Int) {
    let begun = begunByteCount.load(ordering: .relaxed)
    guard end - begun >= Self.bytesPerBeginning else { return }
    begunByteCount.store(end, ordering: .relaxed)
    // Only a hint; `sync` does the rest.
    _ = rilq_begin_writing(descriptor, Int64(begun), Int64(end - begun))
  }

  /// Appends bytes.
  package mutating func append(_ bytes: [UInt8]) throws {
    let span = bytes.span
    try append(unsafe span.bytes)
  }

  /// Writes bytes at an offset, which may lie beyond the end.
  package func write(_ bytes: RawSpan, at offset: Int) throws {
    try unsafe bytes.withUnsafeBytes { buffer in
      var written = 0
      while written < buffer.count {
        let rest = unsafe UnsafeRawBufferPointer(rebasing: buffer[written...])
        let count = unsafe pwrite(descriptor, rest.baseAddress, rest.count, off_t(offset + written))
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else { throw FileSystem.systemError(path) }
        written += count
      }
    }
    beginWriting(upTo: offset + bytes.byteCount)
  }

  /// Waits until the contents are on disk.
  package func sync() throws {
    guard fsync(descriptor) == 0 else { throw FileSystem.systemError(path) }
  }
}
