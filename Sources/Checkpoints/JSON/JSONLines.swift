import Checkpoints

/// A file with one JSON object a line.
struct JSONLines {
  /// No text of a data set is longer.
  static let lineByteLimit = 16 << 20

  /// An object and where it is.
  struct Line {
    let object: JSONValue
    /// From 1.
    let number: Int
    fileprivate let path: String

    /// An error in this line.
    func malformed(_ reason: String) -> FormatError {
      FormatError(path, at: "line \(number)", .malformed(reason))
    }

    /// The text under a key.
    func text(_ key: String) throws(FormatError) -> String {
      guard let value = object[key] else { throw malformed("has no '\(key)'") }
      guard let text = value.string else { throw malformed("'\(key)' is no text") }
      return text
    }
  }

  /// The lines in their order; there is at least one.
  let lines: [Line]

  /// Whether a file is read as JSON lines: by its name.
  static func isName(_ path: String) -> Bool { FileSystem.fileExtension(path) == "jsonl" }

  /// Reads a file strictly: UTF-8, every line an object, none empty.
  ///
  /// - Throws: `FormatError` with the line.
  init(contentsOf path: String) throws {
    var rest = try InputFile.contents(of: path)[...]
    if rest.last == UInt8(ascii: "\n") { rest.removeLast() }
    guard !rest.isEmpty else { throw FormatError(path, .malformed("has no line")) }
    let parts = rest.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    lines = try parts.enumerated().map { try Self.line($1, number: $0 + 1, path) }
  }

  private static func line(_ bytes: ArraySlice<UInt8>, number: Int, _ path: String) throws -> Line {
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
