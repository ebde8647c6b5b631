/// Typed access to the keys of one JSON object, with errors that name the key.
package struct ConfigurationKeys: Sendable {
  /// The largest size in a configuration, so that the product of two sizes stays far inside 64 bits.
  package static let sizeLimit = 1 << 24
  package let json: JSONValue
  package let path: String
  /// The prefix of keys in errors: the key of the enclosing object and a dot.
  package var prefix = ""

  /// Takes an object.
  ///
  /// - Parameters:
  ///   - json: The object.
  ///   - path: The path for errors.
  ///   - prefix: The prefix of keys in errors.
  package init(json: JSONValue, path: String, prefix: String = "") {
    self.json = json
    self.path = path
    self.prefix = prefix
  }

  /// The error for a key whose value is malformed.
  func malformed(_ key: String, _ reason: String) -> FormatError {
    FormatError(path, at: "key '\(prefix)\(key)'", .malformed(reason))
  }

  /// The error for a key whose value is understood but not supported.
  func unsupported(_ key: String, _ reason: String) -> FormatError {
    FormatError(path, at: "key '\(prefix)\(key)'", .unsupported(reason))
  }

  func value(_ key: String) -> JSONValue? {
    json[key].flatMap { $0.isNull ? nil : $0 }
  }

  /// Whether the key is there, even with the value null.
  func has(_ key: String) -> Bool { json[key] != nil }

  func optionalSize(_ key: String, limit: Int = Self.sizeLimit) throws(FormatError) -> Int? {
    guard let value = value(key) else { return nil }
    guard let size = value.integer, size > 0, size <= limit else {
      throw malformed(key, "must be a whole number from 1 to \(limit)")
    }
    return size
  }

  func size(_ key: String, limit: Int = Self.sizeLimit) throws(FormatError) -> Int {
    guard let size = try optionalSize(key, limit: limit) else {
      throw FormatError(path, .missing("key '\(prefix)\(key)'"))
    }
    return size
  }

  func optionalNumber(_ key: String) throws(FormatError) -> Double? {
    guard let value = value(key) else { return nil }
    guard let number = value.double, number.isFinite else { throw malformed(key, "must be a number") }
    return number
  }

  func factor(_ key: String) throws(FormatError) -> Double {
    guard let factor = try optionalNumber(key), factor > 0 else {
      throw malformed(key, "must be a positive number")
    }
    return factor
  }

  func optionalBool(_ key: String) throws(FormatError) -> Bool? {
    guard let value = value(key) else { return nil }
    guard let bool = value.bool else { throw malformed(key, "must be true or false") }
    return bool
  }

  func optionalText(_ key: String) throws(FormatError) -> String? {
    guard let value = value(key) else { return nil }
    guard let text = value.string else { throw malformed(key, "must be a text") }
    return text
  }

  func optionalObject(_ key: String) throws(FormatError) -> JSONValue? {
    guard let value = value(key) else { return nil }
    guard value.object != nil else { throw malformed(key, "must be an object") }
    return value
  }

  /// The token ids of a key: a number or a list of numbers; empty if the key is missing.
  package func tokens(_ key: String) throws(FormatError) -> [Int] {
    guard let value = value(key) else { return [] }
    var tokens: [Int] = []
    for item in value.array ?? [value] {
      guard let id = item.integer, id >= 0 else { throw malformed(key, "must be a token id") }
      tokens.append(id)
    }
    return tokens
  }
}
