import Checkpoints

/// An object of a `tokenizer.json`, with its place for error messages.
struct TokenizerComponent {
  let json: JSONValue
  private let path: String
  private let place: String

  /// Wraps an object.
  ///
  /// - Throws: `FormatError.malformed` when the value is not an object.
  init(_ json: JSONValue, path: String, place: String) throws {
    guard json.object != nil else { throw FormatError(path, at: place, .malformed("is not an object")) }
    self.json = json
    self.path = path
    self.place = place
  }

  /// An error about this object.
  func malformed(_ reason: String) -> FormatError { FormatError(path, at: place, .malformed(reason)) }

  /// An error about an unsupported feature of this object.
  func unsupported(_ what: String) -> FormatError {
    FormatError(path, at: place, .unsupported("\(what) is not supported"))
  }

  /// An error about a regular expression in this object.
  func refused(_ error: PatternError) -> FormatError {
    FormatError(path, at: place, .unsupported(error.reason))
  }

  /// Rejects keys that are not known.
  func allow(_ keys: Set<String>) throws {
    for member in json.object ?? [] where !keys.contains(member.key) {
      throw unsupported("key '\(member.key)'")
    }
  }

  private func value(_ key: String) -> JSONValue? {
    guard let value = json[key], !value.isNull else { return nil }
    return value
  }

  private func require<T>(_ key: String, _ kind: String, _ value: T?) throws -> T {
    guard json[key] != nil else { throw FormatError(path, at: place, .missing("key '\(key)'")) }
    guard let value else { throw malformed("'\(key)' is not \(kind)") }
    return value
  }

  /// The kind of the component.
  func type() throws -> String { try string("type") }

  /// A text.
  func string(_ key: String) throws -> String { try require(key, "a string", json[key]?.string) }

  /// A text, or the default where the key is missing or null.
  func string(_ key: String, default absent: String) throws -> String {
    value(key) == nil ? absent : try string(key)
  }

  /// A truth value.
  func bool(_ key: String) throws -> Bool { try require(key, "true or false", json[key]?.bool) }

  /// A truth value, or the default where the key is missing.
  func bool(_ key: String, default absent: Bool) throws -> Bool {
    json[key] == nil ? absent : try bool(key)
  }

  /// An integer.
  func integer(_ key: String) throws -> Int { try require(key, "an integer", json[key]?.integer) }

  /// A list of integers.
  func integers(_ key: String) throws -> [Int] {
    try array(key).map {
      guard let integer = $0.integer else { throw malformed("'\(key)' is not a list of integers") }
      return integer
    }
  }

  /// A list.
  func array(_ key: String) throws -> [JSONValue] { try require(key, "a list", json[key]?.array) }

  /// A required object.
  func require(_ key: String) throws -> TokenizerComponent {
    try TokenizerComponent(require(key, "an object", json[key]), path: path, place: name(key))
  }

  /// An object, or nil where the key is missing or null.
  func component(_ key: String) throws -> TokenizerComponent? {
    try value(key).map { try TokenizerComponent($0, path: path, place: name(key)) }
  }

  /// A list of objects.
  func components(_ key: String) throws -> [TokenizerComponent] {
    try array(key).enumerated().map { i, element in
      try TokenizerComponent(element, path: path, place: name("\(key)[\(i)]"))
    }
  }

  private func name(_ key: String) -> String { place == "the document" ? key : "\(place).\(key)" }

  /// Checks the keys of a `ByteLevel` component; only a pre-tokenizer uses their values.
  func checkByteLevel() throws {
    try allow(["type", "add_prefix_space", "trim_offsets", "use_regex"])
    _ = try (bool("add_prefix_space"), bool("trim_offsets"), bool("use_regex", default: true))
  }
}
