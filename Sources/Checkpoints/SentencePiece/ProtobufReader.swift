/// A field of a protobuf message.
struct ProtobufField {
  /// What a field holds, as its wire type says.
  enum Value {
    case varint(UInt64)
    case fixed32(UInt32)
    case fixed64(UInt64)
    /// A text, bytes or a message, as offsets from the start of the file.
    case bytes(Range<Int>)
  }

  /// The number that the message's description gives the field; at least 1.
  let number: UInt64
  /// What it holds.
  let value: Value
  /// Where it begins, from the start of the file.
  let byteOffset: Int
  private let path: String

  fileprivate init(number: UInt64, value: Value, byteOffset: Int, path: String) {
    self.number = number
    self.value = value
    self.byteOffset = byteOffset
    self.path = path
  }

  /// An error about this field.
  func error(_ problem: FormatError.Problem) -> FormatError {
    FormatError(path, byte: byteOffset, at: "field \(number)", problem)
  }

  private func mismatch(_ kind: String) -> FormatError { error(.malformed("is not \(kind)")) }

  /// The whole number, for a type `int32`.
  func integer() throws(FormatError) -> Int {
    guard case .varint(let value) = value, let number = Int32(exactly: Int64(bitPattern: value)) else {
      throw mismatch("a whole number of 32 bits")
    }
    return Int(number)
  }

  /// The truth value, for a type `bool`.
  func bool() throws(FormatError) -> Bool {
    guard case .varint(let value) = value else { throw mismatch("true or false") }
    return value != 0
  }

  /// The number, for a type `float`.
  func float() throws(FormatError) -> Float {
    guard case .fixed32(let bits) = value else { throw mismatch("a number") }
    return Float(bitPattern: bits)
  }

  /// Where the contents are, for a text, bytes or a message.
  func range() throws(FormatError) -> Range<Int> {
    guard case .bytes(let range) = value else { throw mismatch("a text or a message") }
    return range
  }

  /// The text, for a type `string`.
  func string(_ file: RawSpan) throws(FormatError) -> String {
    guard let text = file.string(in: try range()) else { throw error(.malformed("the text is not UTF-8")) }
    return text
  }
}

/// Reads the fields of a protobuf message; every call gets the bytes of the whole file.
///
/// Source: protobuf.dev/programming-guides/encoding.
struct ProtobufReader {
  private let path: String
  /// The next byte to read, from the start of the file.
  private var position: Int
  /// Where the message ends, from the start of the file.
  private let end: Int

  /// Begins with the first field of a message.
  ///
  /// - Parameters:
  ///   - range: The bytes of the message, inside the file.
  ///   - path: The path for errors.
  init(_ range: Range<Int>, path: String) {
    self.path = path
    position = range.lowerBound
    end = range.upperBound
  }

  /// Reads the next field; nil after the last one.
  ///
  /// - Throws: `FormatError` with the byte where a field is malformed or reaches over the end of the message.
  mutating func next(_ file: RawSpan) throws(FormatError) -> ProtobufField? {
    guard position < end else { return nil }
    let start = position
    let key = try varint(file)
    guard key >> 3 > 0 else { throw error(start, .malformed("field number 0")) }
    let value: ProtobufField.Value =
      switch key & 7 {
      case 0: .varint(try varint(file))
      case 1: .fixed64(file.integer(at: try take(8)))
      case 2: .bytes(try lengthDelimited(file))
      case 5: .fixed32(file.integer(at: try take(4)))
      default: throw error(start, .malformed("field \(key >> 3) is of wire type \(key & 7)"))
      }
    return ProtobufField(number: key >> 3, value: value, byteOffset: start, path: path)
  }

  private func error(_ byte: Int, _ problem: FormatError.Problem) -> FormatError {
    FormatError(path, byte: byte, problem)
  }

  /// Moves over bytes that must be inside the message; returns where they begin.
  private mutating func take(_ byteCount: Int) throws(FormatError) -> Int {
    guard byteCount <= end - position else {
      throw error(position, .truncated(needed: byteCount, available: end - position))
    }
    defer { position += byteCount }
    return position
  }

  private mutating func lengthDelimited(_ file: RawSpan) throws(FormatError) -> Range<Int> {
    let byteCount = Int(clamping: try varint(file))
    let start = try take(byteCount)
    return start..<position
  }

  /// Reads a number of 7 bits per byte, lowest first.
  private mutating func varint(_ file: RawSpan) throws(FormatError) -> UInt64 {
    let start = position
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 70, by: 7) {
      let byte = UInt64(file.byte(at: try take(1)))
      guard shift < 63 || byte <= 1 else { break }
      value |= (byte & 0x7F) << shift
      if byte & 0x80 == 0 { return value }
    }
    throw error(start, .malformed("the number has more than 64 bits"))
  }
}
