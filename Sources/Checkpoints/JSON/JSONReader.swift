/// A cursor over JSON text, for documents too large to become values; every call gets the text.
package struct JSONReader {
  private static let depthLimit = 64
  private let byteCount: Int
  private var depth = 0
  /// Emptied key sets of finished objects, reused for later ones.
  private var spareKeys: [SeenKeys] = []
  /// The next byte to read, from the start of the text.
  package private(set) var position = 0

  /// Starts before the first byte.
  package init(byteCount: Int) { self.byteCount = byteCount }

  /// Reads a whole document into a value.
  package mutating func readDocument(_ text: RawSpan) throws(JSONError) -> JSONValue {
    skipSpace(text)
    let value = try readValue(text)
    try readEnd(text)
    return value
  }

  /// Checks that only white space is left.
  package mutating func readEnd(_ text: RawSpan) throws(JSONError) {
    skipSpace(text)
    guard position == byteCount else { throw error("there is text after the end of the value") }
  }

  /// Reads an object member by member and refuses repeated keys.
  ///
  /// - Parameters:
  ///   - text: The text.
  ///   - body: Gets the key and its byte, and must read the value.
  /// - Throws: `JSONError` with the byte.
  package mutating func readMembers(
    _ text: RawSpan, _ body: (inout JSONReader, String, Int) throws(JSONError) -> Void
  ) throws(JSONError) {
    var keys = spareKeys.popLast() ?? SeenKeys()
    try readRepeatableMembers(text) { (reader, key, offset) throws(JSONError) in
      guard keys.insert(key) else { throw Self.duplicate(key, at: offset) }
      try body(&reader, key, offset)
    }
    keys.removeAll()
    spareKeys.append(keys)
  }

  /// Reads an object member by member; the caller checks for repeated keys.
  ///
  /// - Parameters:
  ///   - text: The text.
  ///   - body: Gets the key and its byte, must read the value, and throws `duplicate` for a repeated key.
  /// - Throws: `JSONError` with the byte.
  package mutating func readRepeatableMembers(
    _ text: RawSpan, _ body: (inout JSONReader, String, Int) throws(JSONError) -> Void
  ) throws(JSONError) {
    skipSpace(text)
    guard peek(text) == UInt8(ascii: "{") else { throw error("expected '{'") }
    try nested { (reader) throws(JSONError) in try reader.readMembersAfterBrace(text, body) }
  }

  /// Reads the members of the outermost object in a part of the text; the caller checks for repeated keys.
  ///
  /// - Parameters:
  ///   - text: The text.
  ///   - start: Where a member begins, or white space before it.
  ///   - end: The member that begins at this byte or after it is the first one that is not read.
  ///   - body: Gets the key and its byte, and must read the value.
  /// - Returns: Whether the object ended, and with it the text. Otherwise `position` is after a comma.
  /// - Throws: `JSONError` with the byte; also when no member begins at `start`.
  package mutating func readOutermostMembers(
    _ text: RawSpan, from start: Int, to end: Int,
    _ body: (inout JSONReader, String, Int) throws(JSONError) -> Void
  ) throws(JSONError) -> Bool {
    position = start
    depth = 1
    guard try readMembers(text, to: end, body) else { return false }
    try readEnd(text)
    return true
  }

  /// The error for a repeated key of an object.
  package static func duplicate(_ key: String, at byteOffset: Int) -> JSONError {
    JSONError(byteOffset: byteOffset, reason: "duplicate key '\(key)'")
  }

  /// Reads an array element by element; `body` must read each value.
  package mutating func readElements(
    _ text: RawSpan, _ body: (inout JSONReader) throws(JSONError) -> Void
  ) throws(JSONError) {
    skipSpace(text)
    guard peek(text) == UInt8(ascii: "[") else { throw error("expected '['") }
    try nested { (reader) throws(JSONError) in try reader.readElementsAfterBracket(text, body) }
  }

  /// Reads `null` and returns true, or reads nothing when there is another value.
  package mutating func readNull(_ text: RawSpan) throws(JSONError) -> Bool {
    skipSpace(text)
    guard peek(text) == UInt8(ascii: "n") else { return false }
    _ = try readWord("null", .null, text)
    return true
  }

  /// Reads a number written as an integer that is not negative.
  package mutating func readCount(_ text: RawSpan) throws(JSONError) -> Int {
    skipSpace(text)
    let start = position
    var value = 0
    // Nothing may follow a leading zero; the next read refuses it.
    while let byte = peek(text), (0x30...0x39).contains(byte), value > 0 || position == start {
      let tenfold = value.multipliedReportingOverflow(by: 10)
      let next = tenfold.partialValue.addingReportingOverflow(Int(byte - 0x30))
      guard !tenfold.overflow, !next.overflow else { throw countError(text, from: start) }
      value = next.partialValue
      position += 1
    }
    let end = peek(text)
    guard position > start, end != UInt8(ascii: "."), end != UInt8(ascii: "e"),
      end != UInt8(ascii: "E")
    else { throw countError(text, from: start) }
    return value
  }

  /// Why the text that begins at a byte is not a count.
  private mutating func countError(_ text: RawSpan, from start: Int) -> JSONError {
    position = start
    guard let literal = try? readNumber(text) else { return error("expected a number", at: start) }
    return error("\(literal) is not an integer from 0 to 2^63 - 1", at: start)
  }

  private func error(_ reason: String, at offset: Int? = nil) -> JSONError {
    JSONError(byteOffset: offset ?? position, reason: reason)
  }

  private func peek(_ text: RawSpan) -> UInt8? {
    position < byteCount ? text.byte(at: position) : nil
  }

  private mutating func skipSpace(_ text: RawSpan) {
    while let byte = peek(text), Self.isSpace(byte) { position += 1 }
  }

  /// Reads any value, after white space.
  package mutating func readValue(_ text: RawSpan) throws(JSONError) -> JSONValue {
    skipSpace(text)
    guard let byte = peek(text) else { throw error("the text ends where a value should be") }
    switch byte {
    case UInt8(ascii: "{"): return try readObject(text)
    case UInt8(ascii: "["): return try readArray(text)
    case UInt8(ascii: "\""): return .string(try readString(text))
    case UInt8(ascii: "t"): return try readWord("true", .bool(true), text)
    case UInt8(ascii: "f"): return try readWord("false", .bool(false), text)
    case UInt8(ascii: "n"): return try readWord("null", .null, text)
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number(try readNumber(text))
    default: throw error("no value begins with this byte")
    }
  }

  /// Skips a value without checking its inside, and counts its elements or members.
  ///
  /// - Returns: 0 for a value that is neither an array nor an object.
  package mutating func skipValue(_ text: RawSpan) throws(JSONError) -> Int {
    skipSpace(text)
    guard let first = peek(text) else { throw error("the text ends where a value should be") }
    guard first == UInt8(ascii: "{") || first == UInt8(ascii: "[") else {
      _ = try readValue(text)
      return 0
    }
    let start = position
    var open = 0
    var count = 0
    while let byte = peek(text) {
      switch byte {
      case UInt8(ascii: "\""): try skipString(text)
      case UInt8(ascii: "{"), UInt8(ascii: "["): open += 1
      case UInt8(ascii: "}"), UInt8(ascii: "]"): open -= 1
      case UInt8(ascii: ","): if open == 1 { count += 1 }
      default: break
      }
      if count == 0, open > 0, position > start, !Self.isSpace(byte) { count = 1 }
      position += 1
      if open == 0 { return count }
    }
    throw error("the value that begins here does not end", at: start)
  }

  /// Skips a string up to its closing quote.
  private mutating func skipString(_ text: RawSpan) throws(JSONError) {
    let start = position
    position += 1
    while let byte = peek(text), byte != UInt8(ascii: "\"") {
      position += byte == UInt8(ascii: "\\") ? 2 : 1
    }
    guard position < byteCount else { throw error("the string that begins here does not end", at: start) }
  }

  private static func isSpace(_ byte: UInt8) -> Bool {
    byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
  }

  private mutating func nested(
    _ read: (inout JSONReader) throws(JSONError) -> Void
  ) throws(JSONError) {
    depth += 1
    guard depth <= Self.depthLimit else { throw error("nested deeper than \(Self.depthLimit)") }
    position += 1
    try read(&self)
    depth -= 1
  }

  private mutating func readObject(_ text: RawSpan) throws(JSONError) -> JSONValue {
    var members: [JSONValue.Member] = []
    try readMembers(text) { (reader, key, _) throws(JSONError) in
      members.append(JSONValue.Member(key, try reader.readValue(text)))
    }
    return .object(members)
  }

  private mutating func readMembersAfterBrace(
    _ text: RawSpan, _ body: (inout JSONReader, String, Int) throws(JSONError) -> Void
  ) throws(JSONError) {
    skipSpace(text)
    if take("}", text) { return }
    _ = try readMembers(text, to: .max, body)
  }

  /// Reads members up to the end of their object, or up to a member that begins at `end` or after it.
  ///
  /// - Returns: Whether the object ended.
  private mutating func readMembers(
    _ text: RawSpan, to end: Int, _ body: (inout JSONReader, String, Int) throws(JSONError) -> Void
  ) throws(JSONError) -> Bool {
    while true {
      skipSpace(text)
      let keyOffset = position
      guard peek(text) == UInt8(ascii: "\"") else { throw error("a key must be a string") }
      let key = try readString(text)
      skipSpace(text)
      guard take(":", text) else { throw error("expected ':'") }
      try body(&self, key, keyOffset)
      skipSpace(text)
      if take("}", text) { return true }
      guard take(",", text) else { throw error("expected ',' or '}'") }
      if position >= end { return false }
    }
  }

  private mutating func readArray(_ text: RawSpan) throws(JSONError) -> JSONValue {
    var elements: [JSONValue] = []
    try readElements(text) { (reader) throws(JSONError) in elements.append(try reader.readValue(text)) }
    return .array(elements)
  }

  private mutating func readElementsAfterBracket(
    _ text: RawSpan, _ body: (inout JSONReader) throws(JSONError) -> Void
  ) throws(JSONError) {
    skipSpace(text)
    if take("]", text) { return }
    while true {
      try body(&self)
      skipSpace(text)
      if take("]", text) { return }
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
    return text.string(in: start..<position) ?? ""
  }

  private mutating func readDigits(_ text: RawSpan) throws(JSONError) {
    let start = position
    while let byte = peek(text), (0x30...0x39).contains(byte) { position += 1 }
    guard position > start else { throw error("expected a digit") }
  }

  /// Reads a string, after white space.
  package mutating func readString(_ text: RawSpan) throws(JSONError) -> String {
    skipSpace(text)
    let start = position
    guard take("\"", text) else { throw error("expected a string") }
    var escaped: [UInt8]?
    while true {
      let run = readPlainRun(text)
      guard let byte = peek(text) else { throw error("the string that begins here does not end", at: start) }
      guard byte >= 0x20 else { throw error("a control character in a string must be escaped") }
      if byte == UInt8(ascii: "\""), escaped == nil {
        position += 1
        guard let string = text.string(in: run) else { throw error("the string is not UTF-8", at: start) }
        return string
      }
      escaped = (escaped ?? []) + text.extracting(run).copiedBytes()
      guard byte != UInt8(ascii: "\"") else { break }
      escaped?.append(contentsOf: try readEscape(text))
    }
    position += 1
    guard let string = String(validating: escaped ?? [], as: UTF8.self) else {
      throw error("the string is not UTF-8", at: start)
    }
    return string
  }

  /// Moves over the bytes of a string that are not escaped.
  private mutating func readPlainRun(_ text: RawSpan) -> Range<Int> {
    let start = position
    while position + 8 <= byteCount, !Self.endsPlainRun(text.integer(at: position, as: UInt64.self)) {
      position += 8
    }
    while let byte = peek(text), byte >= 0x20, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\") {
      position += 1
    }
    return start..<position
  }

  /// Whether one of 8 bytes is a control character, a quote or a backslash.
  private static func endsPlainRun(_ bytes: UInt64) -> Bool {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let highBits = ones << 7
    /// Sets the high bit of the lowest byte below `limit`, which is at most 128, and perhaps of higher ones.
    func below(_ limit: UInt64, _ bytes: UInt64) -> UInt64 { (bytes &- ones &* limit) & ~bytes }
    let quote = bytes ^ ones &* UInt64(UInt8(ascii: "\""))
    let backslash = bytes ^ ones &* UInt64(UInt8(ascii: "\\"))
    return (below(0x20, bytes) | below(1, quote) | below(1, backslash)) & highBits != 0
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
