/// A file with one JSON object per line.
package struct JSONLines: Sendable {
  /// The maximum length of a line; no text of a data set is longer.
  private static let lineByteLimit = 16 << 20

  /// An object and where it is.
  package struct Line: Sendable {
    /// The line's value, which is an object.
    package let object: JSONValue
    /// From 1.
    package let number: Int
    fileprivate let path: String

    /// An error in this line.
    package func malformed(_ reason: String) -> FormatError {
      FormatError(path, at: "line \(number)", .malformed(reason))
    }

    /// The text under a key.
    ///
    /// - Throws: `FormatError` with the line when there is none.
    package func text(_ key: String) throws(FormatError) -> String {
      guard let value = object[key] else { throw malformed("has no '\(key)'") }
      guard let text = value.string else { throw malformed("'\(key)' is not a text") }
      return text
    }
  }

  /// The lines in their order; there is at least one.
  package let lines: [Line]

  /// Whether a file is read as JSON lines: by its name.
  package static func isName(_ path: String) -> Bool { FileSystem.fileExtension(path) == "jsonl" }

  /// Reads a file.
  ///
  /// - Throws: `FormatError`; for malformed contents, with the line.
  package init(contentsOf path: String) throws {
    try self.init(parsing: InputFile.contents(of: path), path: path)
  }

  /// Reads lines strictly: UTF-8, every line an object, none empty.
  ///
  /// - Parameters:
  ///   - bytes: The lines; the last one may end with a line feed.
  ///   - path: The path for errors.
  /// - Throws: `FormatError` with the line.
  package init(parsing bytes: [UInt8], path: String) throws(FormatError) {
    var rest = bytes[...]
    if rest.last == UInt8(ascii: "\n") { rest.removeLast() }
    guard !rest.isEmpty else { throw FormatError(path, .malformed("has no line")) }
    let parts = rest.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    var lines: [Line] = []
    for (index, part) in parts.enumerated() {
      lines.append(try Self.line(part, number: index + 1, path))
    }
    self.lines = lines
  }

  private static func line(
    _ bytes: ArraySlice<UInt8>, number: Int, _ path: String
  ) throws(FormatError) -> Line {
    func malformed(_ reason: String) -> FormatError {
      FormatError(path, at: "line \(number)", .malformed(reason))
    }
    guard bytes.count <= lineByteLimit else {
      throw malformed("has \(bytes.count) bytes, the limit is \(lineByteLimit)")
    }
    let value: JSONValue
    do throws(JSONError) {
      value = try JSONValue(parsing: Array(bytes))
    } catch {
      throw malformed("\(error.reason), at byte \(error.byteOffset) of the line")
    }
    guard value.object != nil else { throw malformed("is not an object") }
    return Line(object: value, number: number, path: path)
  }
}
