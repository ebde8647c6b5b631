/// The older form of llama.cpp's importance files, `imatrix.dat`.
///
/// ```
/// i32 entries
/// entry:  i32 length, name   i32 windows   i32 values   f32 each: sums, divided by the windows they are means
/// i32 windows   i32 length, name of the text
/// ```
///
/// The last line may be missing, or end after the windows.
struct OlderImportanceMatrix {
  /// The lengths of a tensor's name in llama.cpp.
  private static let nameByteCounts: ClosedRange<Int32> = 1...63
  /// The number of bytes that tell the form.
  static let startByteCount = 12

  let entries: [ImportanceMatrix.Entry]

  /// Whether a file begins as this form does: with a number of entries, and a name.
  ///
  /// Safetensors have a brace where the name begins, after a length of 8 bytes.
  static func isStart(_ bytes: RawSpan) -> Bool {
    guard bytes.byteCount >= startByteCount else { return false }
    let count: Int32 = bytes.integer(at: 0)
    let length: Int32 = bytes.integer(at: 4)
    return count > 0 && nameByteCounts.contains(length) && bytes.byte(at: 8) != UInt8(ascii: "{")
  }

  /// Reads the names and places of all entries.
  ///
  /// - Throws: `FormatError` with the byte and the entry.
  init(of file: InputFile) throws(FormatError) {
    entries = try file.withBytes(in: 0..<file.byteCount) { bytes throws(FormatError) in
      try Self.entries(bytes, path: file.path)
    }
  }

  private static func entries(
    _ bytes: RawSpan, path: String
  ) throws(FormatError) -> [ImportanceMatrix.Entry] {
    var cursor = GGUFCursor(path: path, fileByteCount: bytes.byteCount)
    var entries: [ImportanceMatrix.Entry] = []
    var names: Set<String> = []
    for i in 0..<(try cursor.number(bytes, "entries", in: 1...Int32.max)) {
      cursor.place = "entry \(i)"
      let start = cursor.position
      let name = try cursor.name(bytes, in: nameByteCounts)
      cursor.place = "tensor '\(name)'"
      guard names.insert(name).inserted else { throw cursor.error(.malformed("is there twice"), byte: start) }
      let windows = try cursor.number(bytes, "windows", in: 0...Int32.max)
      let count = try cursor.number(bytes, "values", in: 1...Int32.max)
      let byteCount = MemoryLayout<Float>.size * count
      let first = try cursor.take(byteCount, of: bytes)
      entries.append(
        ImportanceMatrix.Entry(
          tensor: name, place: "tensor '\(name)'", range: first..<first + byteCount,
          counts: [Float(windows)]))
    }
    cursor.place = nil
    if cursor.position < bytes.byteCount { _ = try cursor.number(bytes, "windows", in: 0...Int32.max) }
    if cursor.position < bytes.byteCount { _ = try cursor.name(bytes, in: 0...Int32.max) }
    guard cursor.position == bytes.byteCount else {
      throw cursor.error(.malformed("there are bytes after the name of the text"))
    }
    return entries.sorted { precedes($0.tensor, $1.tensor) }
  }
}

extension GGUFCursor {
  /// Reads a whole number in a range.
  fileprivate mutating func number(
    _ file: RawSpan, _ what: String, in range: ClosedRange<Int32>
  ) throws(FormatError) -> Int {
    let start = position
    let number: Int32 = try integer(file)
    guard range.contains(number) else { throw error(.malformed("\(number) \(what)"), byte: start) }
    return Int(number)
  }

  /// Reads a length in a range, then a text of that length.
  fileprivate mutating func name(
    _ file: RawSpan, in range: ClosedRange<Int32>
  ) throws(FormatError) -> String {
    let first = try take(try number(file, "bytes of a name", in: range), of: file)
    guard let text = file.string(in: first..<position) else {
      throw error(.malformed("the name is not UTF-8"), byte: first)
    }
    return text
  }
}
