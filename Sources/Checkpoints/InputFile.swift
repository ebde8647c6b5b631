import Foundation
internal import Kernels

/// How the bytes of checkpoints are read.
public enum FileAccess: Sendable {
  /// Files are mapped: nothing is copied, but if another process shortens a file, this one gets `SIGBUS`.
  case mapped
  /// Pieces are read into memory on demand; a file that changes in the meantime is an error.
  case read
}

/// A file that is open for reading, mapped or read piece by piece.
package final class InputFile: Sendable {
  private enum Source {
    case mapped(MappedFile)
    case reader(FileReader)
  }

  private let source: Source
  /// The path as it was given.
  package let path: String
  /// The size of the file when it was opened.
  package let byteCount: Int

  /// Opens a regular file.
  ///
  /// - Parameters:
  ///   - path: A regular file, or a link to one.
  ///   - access: Whether it is mapped or read.
  /// - Throws: `FormatError` when the path is not a regular file or cannot be read.
  package init(path: String, access: FileAccess) throws {
    self.path = path
    switch access {
    case .mapped:
      let file = try MappedFile(path: path)
      byteCount = file.byteCount
      source = .mapped(file)
    case .read:
      let reader = try FileReader(path: path)
      byteCount = reader.byteCount
      source = .reader(reader)
    }
  }

  /// A file whose contents are in memory, for readers that are given bytes.
  ///
  /// - Parameters:
  ///   - contents: The bytes.
  ///   - path: The path for errors.
  package init(_ contents: [UInt8], path: String) {
    self.path = path
    byteCount = contents.count
    source = .mapped(MappedFile(contents, path: path))
  }

  /// The bytes of a range: in place when the file is mapped, otherwise read now.
  ///
  /// - Parameter range: Byte offsets from the start of the file; must lie inside it.
  /// - Returns: The bytes, which stay valid when the file is closed.
  /// - Throws: `FormatError.system` when the file cannot be read or has changed since it was opened.
  package func bytes(in range: Range<Int>) throws(FormatError) -> TensorBytes {
    precondition(range.lowerBound >= 0 && range.upperBound <= byteCount, "range outside the file")
    switch source {
    case .mapped(let file): return TensorBytes(file, range: range)
    case .reader(let reader): return try reader.read(range)
    }
  }

  /// Lends the bytes of a range.
  package func withBytes<R>(
    in range: Range<Int>, _ body: (RawSpan) throws(FormatError) -> R
  ) throws(FormatError) -> R {
    try bytes(in: range).withSpan(body)
  }

  /// Reads a file from front to back in pieces that reuse the same memory.
  ///
  /// - Parameters:
  ///   - path: A regular file, or a link to one.
  ///   - pieceByteCount: The size of every piece but the last one.
  ///   - body: Gets the pieces in order.
  /// - Throws: `FormatError` when the file cannot be read or changes in the meantime, or what `body` throws.
  package static func forEachPiece(
    of path: String, pieceByteCount: Int, _ body: (RawSpan) throws -> Void
  ) throws {
    let reader = try FileReader(path: path)
    var buffer = [UInt8](repeating: 0, count: min(pieceByteCount, reader.byteCount))
    for start in stride(from: 0, to: reader.byteCount, by: pieceByteCount) {
      let count = min(pieceByteCount, reader.byteCount - start)
      var all = buffer.mutableSpan
      var piece = all.slice(0..<count)
      try reader.read(from: start, into: &piece)
      let bytes = buffer.span
      try body(unsafe bytes.bytes.extracting(0..<count))
    }
    try reader.checkUnchanged()
  }

  /// The contents of a small file, read into memory.
  ///
  /// - Throws: `FormatError` when it cannot be read, or is a Git LFS pointer.
  package static func contents(of path: String) throws -> [UInt8] {
    let reader = try FileReader(path: path)
    return try reader.read(0..<reader.byteCount).withSpan { bytes throws(FormatError) in
      try GitPointer.refuse(bytes, path: path)
      return bytes.copiedBytes()
    }
  }
}

/// Reads ranges of a file, and detects that the file has changed since it was opened.
private final class FileReader: Sendable {
  /// The number of bytes that one thread reads at once.
  private static let pieceByteCount = 4 << 20

  let path: String
  let byteCount: Int
  private let descriptor: Int32
  private let modificationTime: timespec

  init(path: String) throws {
    // Checked before opening, because opening a pipe would wait for a writer.
    try FileSystem.requireRegularFile(path)
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw FileSystem.systemError(path) }
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else {
      let error = FileSystem.systemError(path)
      close(descriptor)
      throw error
    }
    self.path = path
    self.descriptor = descriptor
    byteCount = Int(status.st_size)
    modificationTime = status.modificationTime
  }

  deinit { close(descriptor) }

  func read(_ range: Range<Int>) throws(FormatError) -> TensorBytes {
    let bytes = try TensorBytes(byteCount: range.count, bytesPerChunk: Self.pieceByteCount, path: path) {
      part, piece throws(FormatError) in
      try read(from: range.lowerBound + part.lowerBound, into: &piece)
    }
    try checkUnchanged()
    return bytes
  }

  func read(from offset: Int, into piece: inout MutableSpan<UInt8>) throws(FormatError) {
    try unsafe piece.withUnsafeMutableBufferPointer { buffer throws(FormatError) in
      var done = 0
      while done < buffer.count {
        let rest = unsafe UnsafeMutableRawBufferPointer(
          rebasing: UnsafeMutableRawBufferPointer(buffer)[done...])
        let count = unsafe pread(descriptor, rest.baseAddress, rest.count, off_t(offset + done))
        if count < 0 && errno == EINTR { continue }
        guard count >= 0 else { throw FileSystem.systemError(path) }
        guard count > 0 else {
          throw FormatError(
            path, byte: offset + done, .system("ends here, it was shortened while it was read"))
        }
        done += count
      }
    }
  }

  func checkUnchanged() throws(FormatError) {
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else { throw FileSystem.systemError(path) }
    let now = status.modificationTime
    guard status.st_size == byteCount, now.tv_sec == modificationTime.tv_sec,
      now.tv_nsec == modificationTime.tv_nsec
    else { throw FormatError(path, .system("was changed while it was read")) }
  }
}
