extension JSONValue {
  /// Reads a document strictly by RFC 8259.
  ///
  /// Refuses repeated keys (also keys that differ only in how Unicode composes a character), text after the
  /// value, lone surrogates, invalid UTF-8, NaN and nesting deeper than 64. Accepts white space around the
  /// value.
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
    let contents = try InputFile.contents(of: path)
    self = try JSONValue(parsing: unsafe contents.span.bytes, path: path)
  }

  /// Reads a document of a file.
  ///
  /// - Parameters:
  ///   - bytes: UTF-8 text without byte order mark.
  ///   - path: The file for errors.
  /// - Throws: `FormatError` with the byte of the defect.
  package init(parsing bytes: RawSpan, path: String) throws(FormatError) {
    do throws(JSONError) {
      self = try JSONValue(parsing: bytes)
    } catch {
      throw FormatError(path, byte: error.byteOffset, .malformed(error.reason))
    }
  }

  /// Reads a document of a file, which must be an object.
  ///
  /// - Parameters:
  ///   - bytes: UTF-8 text without byte order mark.
  ///   - path: The file for errors.
  /// - Throws: `FormatError` with the byte of the defect.
  package init(parsingObject bytes: RawSpan, path: String) throws(FormatError) {
    try self.init(parsing: bytes, path: path)
    guard object != nil else { throw FormatError(path, byte: 0, .malformed("is not an object")) }
  }
}

extension Checkpoint {
  /// The contents of an asset that is JSON, or nil when there is none of that name.
  ///
  /// - Throws: `FormatError` with the byte of the defect.
  package func json(named name: String) throws -> JSONValue? {
    try asset(named: name).map { bytes in
      try bytes.withSpan { text throws(FormatError) in
        try JSONValue(parsing: text, path: path + "/" + name)
      }
    }
  }
}
