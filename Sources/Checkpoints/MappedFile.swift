import Foundation

/// A file mapped for reading.
///
/// If another process shortens the file while it is mapped, this one gets `SIGBUS`. `rilq` itself replaces
/// files only by renaming. `InputFile` can read files instead of mapping them.
public final class MappedFile: Sendable {
  private static let pageByteCount = Int(sysconf(Int32(_SC_PAGESIZE)))

  private let contents: Data
  private let isMapped: Bool
  /// The path as it was given.
  public let path: String

  /// The size of the file when it was opened.
  public var byteCount: Int { contents.count }

  /// Maps a regular file.
  ///
  /// - Parameter path: A regular file, or a link to one.
  /// - Throws: `FormatError` when the path is not a regular file or cannot be read.
  public init(path: String) throws {
    let byteCount = try FileSystem.requireRegularFile(path)
    self.path = path
    isMapped = byteCount > 0
    guard isMapped else {
      contents = Data()
      return
    }
    do {
      contents = try Data(contentsOf: URL(filePath: path), options: .alwaysMapped)
    } catch {
      throw FormatError(path, .system("cannot be read"))
    }
  }

  /// A file whose contents are in memory, for readers that are given bytes.
  ///
  /// - Parameters:
  ///   - contents: The bytes.
  ///   - path: The path for errors.
  package init(_ contents: [UInt8], path: String) {
    self.contents = Data(contents)
    self.path = path
    isMapped = false
  }

  /// Lends the bytes of a range.
  ///
  /// - Parameters:
  ///   - range: Byte offsets from the start of the file; must lie inside it.
  ///   - body: What to do with the bytes.
  /// - Returns: What `body` returns.
  /// - Throws: What `body` throws.
  public func withBytes<R, E: Error>(
    in range: Range<Int>, _ body: (RawSpan) throws(E) -> R
  ) throws(E) -> R {
    precondition(range.lowerBound >= 0 && range.upperBound <= contents.count, "range outside the file")
    return try body(contents.bytes.extracting(range))
  }

  /// Removes the pages inside a range from this process's memory.
  ///
  /// They are loaded from the file when they are read again. Without this, every page that was ever read
  /// counts as resident until the system is short of memory.
  package func discard(_ range: Range<Int>) {
    guard isMapped else { return }
    unsafe contents.withUnsafeBytes { buffer in
      guard let base = buffer.baseAddress else { return }
      // Pages at the ends also hold bytes of neighbours; the mapping begins at a page boundary.
      let page = Self.pageByteCount
      let start = (range.lowerBound + page - 1) / page * page
      let end = range.upperBound / page * page
      // Memory that does not begin at a page boundary is not a mapping of ours, and would lose its contents.
      guard start < end, Int(bitPattern: base) % page == 0 else { return }
      // If the system ignores the advice, nothing changes.
      _ = unsafe madvise(UnsafeMutableRawPointer(mutating: base + start), end - start, MADV_DONTNEED)
    }
  }
}
