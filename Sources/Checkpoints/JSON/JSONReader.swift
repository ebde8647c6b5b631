/// Why a text is not JSON, and the byte where it was noticed.
public struct JSONError: Error, Equatable, CustomStringConvertible {
  /// The byte, from the start of the text.
  public let byteOffset: Int
  /// The reason as a phrase.
  public let reason: String

  /// The reason with its byte.
  public var description: String { "byte \(byteOffset): \(reason)" }
}

extension JSONValue {
  /// Reads a document strictly by RFC 8259.
  ///
  /// Repeated keys, text after the value, lone surrogates, invalid UTF-8, NaN and nesting deeper than 64
  /// are refused; white space around the value is accepted.
  ///
  /// - Parameter bytes: UTF-8 text without byte order mark.
  /// - Throws: `JSONError` with the byte.
  public init(parsing bytes: RawSpan) throws(JSONError) {
    var reader = JSONReader(byteCount: bytes.byteCount)
    self = try reader.readDocument(bytes)
  }

  /// Reads a document held in an array.
  public init(parsing bytes: [UInt8]) throws(JSONError) {
    let span = bytes.span
    self = try JSONValue(parsing: unsafe span.bytes)
  }

  /// Reads the JSON file at a path.
  ///
  /// - Throws: `FormatError` with the byte of the defect.
  public init(contentsOf path: String) throws {
    let file = try MappedFile(path: path)
    do {
      self = try file.withBytes(in: 0..<file.byteCount) { bytes throws(JSONError) in
        try JSONValue(parsing: bytes)
      }
    } catch {
      throw FormatError(path, byte: error.byteOffset, .malformed(error.reason))
    }
  }
}

/// A cursor over JSON text; the text itself is passed to every call.
private struct JSONReader {
  private static let depthLimit = 64
  private let byteCount: Int
  private var position = 0
  private var depth = 0

  init(byteCount: Int) { self.byteCount = byteCount }

  mutating func readDocument(_ text: RawSpan) throws(JSONError) -> JSONValue {
    skipSpace(text)
    let value = try readValue(text)
    skipSpace(text)
    guard position == byteCount else { throw error("there is text after the end of the value") }
    return value
  }

  private func error(_ reason: String, at offset: Int? = nil) -> JSONError {
    JSONError(byteOffset: offset ?? position, reason: reason)
  }

  private func peek(_ text: RawSpan) -> UInt8? {
    position < byteCount ? text.byte(at: position) : nil
  }

  private mutating func skipSpace(_ text: RawSpan) {
    while let byte = peek(text), byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
      position += 1
    }
  }

  private mutating func readValue(_ text: RawSpan) throws(JSONError) -> JSONValue {
    guard let byte = peek(text) else { throw error("the text ends where a value should be") }
    switch byte {
    case UInt8(ascii: "{"): return try nested { (r) throws(JSONError) in try r.readObject(text) }
    case UInt8(ascii: "["): return try nested { (r) throws(JSONError) in try r.readArray(text) }
    case UInt8(ascii: "\""): return .string(try readString(text))
    case UInt8(ascii: "t"): return try readWord("true", .bool(true), text)
    case UInt8(ascii: "f"): return try readWord("false", .bool(false), text)
    case UInt8(ascii: "n"): return try readWord("null", .null, text)
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number(try readNumber(text))
    default: throw error("no value begins with this byte")
    }
  }

  private mutating func nested(
    _ read: (inout JSONReader) throws(JSONError) -> JSONValue
  ) throws(JSONError) -> JSONValue {
    depth += 1
    guard depth <= Self.depthLimit else { throw error("nested deeper than \(Self.depthLimit)") }
    position += 1
    let value = try read(&self)
    depth -= 1
    return value
  }

  private mutating func readObject(_ text: RawSpan) throws(JSONError) -> JSONValue {
    var members: [JSONValue.Member] = []
    var keys: Set<String> = []
    skipSpace(text)
    if take("}", text) { return .object([]) }
    while true {
      skipSpace(text)
      let keyOffset = position
      guard peek(text) == UInt8(ascii: "\"") else { throw error("a key must be a string") }
      let key = try readString(text)
      guard keys.insert(key).inserted else { throw error("duplicate key '\(key)'", at: keyOffset) }
      skipSpace(text)
      guard take(":", text) else { throw error("expected ':'") }
      skipSpace(text)
      members.append(JSONValue.Member(key, try readValue(text)))
      skipSpace(text)
      if take("}", text) { return .object(members) }
      guard take(",", text) else { throw error("expected ',' or '}'") }
    }
  }

  private mutating func readArray(_ text: RawSpan) throws(JSONError) -> JSONValue {
    var elements: [JSONValue] = []
    skipSpace(text)
    if take("]", text) { return .array([]) }
    while true {
      skipSpace(text)
      elements.append(try readValue(text))
      skipSpace(text)
      if take("]", text) { return .array(elements) }
      guard take(",", text) else { throw error("expected ',' or ']'") }
    }
  }

  private mutating func take(_ character: Unicode.Scalar, _ text: RawSpan) -> Bool {
    guard peek(text) == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private mutating func readWord(
    _ word: StaticString, _ value: JSONValue, _ text: RawSpan
  ) throws(JSONError) -> JSONValue {
    let start = position
    for expected in word.description.utf8 {
      guard peek(text) == expected else { throw error("no value begins so", at: start) }
      position += 1
    }
    return value
  }

  private mutating func readNumber(_ text: RawSpan) throws(JSONError) -> String {
    let start = position
    _ = take("-", text)
    if !take("0", text) { try readDigits(text) }
    if take(".", text) { try readDigits(text) }
    if take("e", text) || take("E", text) {
      if !take("+", text) { _ = take("-", text) }
      try readDigits(text)
    }
    return String(decoding: (start..<position).map { text.byte(at: $0) }, as: UTF8.self)
  }

  private mutating func readDigits(_ text: RawSpan) throws(JSONError) {
    let start = position
    while let byte = peek(text), (0x30...0x39).contains(byte) { position += 1 }
    guard position > start else { throw error("expected a digit") }
  }

  private mutating func readString(_ text: RawSpan) throws(JSONError) -> String {
    let start = position
    position += 1
    var contents: [UInt8] = []
    while true {
      guard let byte = peek(text) else { throw error("the string that begins here does not end", at: start) }
      switch byte {
      case UInt8(ascii: "\""):
        position += 1
        guard let string = String(validating: contents, as: UTF8.self) else {
          throw error("the string is not UTF-8", at: start)
        }
        return string
      case UInt8(ascii: "\\"): contents.append(contentsOf: try readEscape(text))
      case 0..<0x20: throw error("a control character in a string must be escaped")
      default:
        contents.append(byte)
        position += 1
      }
    }
  }

  private mutating func readEscape(_ text: RawSpan) throws(JSONError) -> [UInt8] {
    let start = position
    position += 1
    guard let kind = peek(text) else { throw error("the text ends inside an escape") }
    position += 1
    switch kind {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [kind]
    case UInt8(ascii: "b"): return [0x08]
    case UInt8(ascii: "f"): return [0x0C]
    case UInt8(ascii: "n"): return [0x0A]
    case UInt8(ascii: "r"): return [0x0D]
    case UInt8(ascii: "t"): return [0x09]
    case UInt8(ascii: "u"): return Array(String(try readUnicodeEscape(text, from: start)).utf8)
    default: throw error("no such escape", at: start)
    }
  }

  private mutating func readUnicodeEscape(
    _ text: RawSpan, from start: Int
  ) throws(JSONError) -> Unicode.Scalar {
    let first = try readHex(text)
    if let scalar = Unicode.Scalar(first) { return scalar }
    guard first < 0xDC00, take("\\", text), take("u", text) else {
      throw error("lone surrogate", at: start)
    }
    let second = try readHex(text)
    guard (0xDC00...0xDFFF).contains(second),
      let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
    else { throw error("lone surrogate", at: start) }
    return scalar
  }

  private mutating func readHex(_ text: RawSpan) throws(JSONError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = peek(text), let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80
      else { throw error("expected a hexadecimal digit") }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }
}
