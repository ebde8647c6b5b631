import Foundation

/// A file mapped for reading.
///
/// Another process that shortens the file while it is mapped kills this one with `SIGBUS`; `rilq`
/// itself replaces files only by renaming.
public final class MappedFile: Sendable {
  private let contents: Data
  /// The path as it was given.
  public let path: String

  /// The size of the file when it was opened.
  public var byteCount: Int { contents.count }

  /// Maps a regular file.
  ///
  /// - Parameter path: A regular file, or a link to one.
  /// - Throws: `FormatError` when the path is not a regular file or cannot be read.
  public init(path: String) throws {
    let file = try FileSystem.requireRegularFile(path)
    self.path = path
    guard file.byteCount > 0 else {
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
  ///   - path: What errors name.
  package init(_ contents: [UInt8], path: String) {
    self.contents = Data(contents)
    self.path = path
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
}
