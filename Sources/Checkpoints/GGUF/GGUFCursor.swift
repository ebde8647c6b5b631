/// A position in the header of a GGUF file; every call gets the beginning of the file.
struct GGUFCursor {
  private let path: String
  /// The size of the whole file.
  private let fileByteCount: Int
  /// Whether a call needed bytes that the file has but the given beginning lacks.
  private(set) var wantsMore = false
  /// The next byte to read, from the start of the file.
  private(set) var position = 0
  /// What is being read, for errors: `key 'x'`, `tensor 'x'`.
  var place: String?

  init(path: String, fileByteCount: Int) {
    self.path = path
    self.fileByteCount = fileByteCount
  }

  /// An error at a byte, by default the next one to read.
  func error(_ problem: FormatError.Problem, byte: Int? = nil) -> FormatError {
    FormatError(path, byte: byte ?? position, at: place, problem)
  }

  /// The bytes of the file that are left.
  private var remainingByteCount: Int { fileByteCount - position }

  /// Moves over bytes that must be there.
  ///
  /// - Returns: Where they begin.
  /// - Throws: `FormatError` when the file, or the given beginning of it, ends before.
  mutating func take(_ byteCount: Int, of file: RawSpan) throws(FormatError) -> Int {
    guard byteCount <= file.byteCount - position else {
      wantsMore = byteCount <= remainingByteCount
      throw error(.truncated(needed: byteCount, available: remainingByteCount))
    }
    defer { position += byteCount }
    return position
  }

  /// Reads a little-endian integer.
  mutating func integer<T: FixedWidthInteger & BitwiseCopyable>(
    _ file: RawSpan, as type: T.Type = T.self
  ) throws(FormatError) -> T {
    file.integer(at: try take(MemoryLayout<T>.size, of: file))
  }

  /// Reads a count of items with a minimum size, and checks that the file has room for them.
  ///
  /// - Parameters:
  ///   - file: The beginning of the file.
  ///   - what: What is counted, for errors.
  ///   - byteCount: The minimum size of an item.
  /// - Returns: The count.
  /// - Throws: `FormatError` when there is no room.
  mutating func count(
    _ file: RawSpan, of what: String, atLeast byteCount: Int
  ) throws(FormatError) -> Int {
    let start = position
    let count: UInt64 = try integer(file)
    let limit = remainingByteCount / byteCount
    guard count <= UInt64(limit) else {
      throw error(.malformed("\(count) \(what), the file has room for \(limit)"), byte: start)
    }
    return Int(count)
  }

  /// Reads a length, then a text of that length.
  mutating func string(_ file: RawSpan) throws(FormatError) -> String {
    let start = position
    let byteCount: UInt64 = try integer(file)
    guard byteCount <= UInt64(remainingByteCount) else {
      throw error(.truncated(needed: Int(clamping: byteCount), available: remainingByteCount), byte: start)
    }
    let first = try take(Int(byteCount), of: file)
    guard let text = file.string(in: first..<position) else {
      throw error(.malformed("the text is not UTF-8"), byte: first)
    }
    return text
  }
}
