/// An `adapter_config.json`, read key by key.
struct PeftDocument {
  let path: String
  private let root: JSONValue

  /// Reads the file.
  ///
  /// - Throws: `FormatError` when it is not a JSON object.
  init(path: String) throws {
    root = try JSONValue(contentsOf: path)
    self.path = path
    guard root.object != nil else { throw FormatError(path, .malformed("is not an object")) }
  }

  var keys: [String] { (root.object ?? []).map(\.key) }

  subscript(key: String) -> JSONValue? { root[key] }

  /// An error at a key.
  func error(_ key: String, _ problem: FormatError.Problem) -> FormatError {
    FormatError(path, at: "key '\(key)'", problem)
  }

  /// An error at a key whose value is understood but not supported.
  func refusal(_ key: String, because reason: String = "is not supported") -> FormatError {
    error(key, .unsupported("\((root[key] ?? .null).compactText) \(reason)"))
  }

  /// Whether a setting is there and is neither null, false nor empty.
  func isOn(_ key: String) -> Bool {
    switch root[key] {
    case nil, .null, .bool(false), .string(""), .array([]), .object([]): false
    default: true
    }
  }

  /// A truth value; false when it is not given.
  func flag(_ key: String) throws(FormatError) -> Bool {
    switch root[key] {
    case nil, .null: return false
    case .bool(let value): return value
    default: throw error(key, .malformed("is not true or false"))
    }
  }

  func positiveInteger(_ key: String) throws(FormatError) -> Int {
    guard let value = root[key]?.integer, value > 0 else {
      throw error(key, .malformed("is not a positive integer"))
    }
    return value
  }

  func number(_ key: String) throws(FormatError) -> Double {
    guard let value = root[key]?.double, value.isFinite else {
      throw error(key, .malformed("is not a number"))
    }
    return value
  }

  /// A text or a list of texts, none of them empty.
  func texts(_ key: String) throws(FormatError) -> [String] {
    switch root[key] {
    case nil, .null: return []
    case .string(let text) where !text.isEmpty: return [text]
    case let value:
      let texts = (value?.array ?? []).compactMap(\.string).filter { !$0.isEmpty }
      guard let list = value?.array, texts.count == list.count else {
        throw error(key, .malformed("is not a list of names"))
      }
      return texts
    }
  }

  func expressions(_ key: String) throws(FormatError) -> [PeftExpression] {
    var expressions: [PeftExpression] = []
    for text in try texts(key) { expressions.append(try PeftExpression(text, key: key, path: path)) }
    return expressions
  }

  /// The members of an object as expressions over module names with their values, in the order of the file.
  func patterns<Value>(
    _ key: String, of kind: String, _ read: (JSONValue) -> Value?
  ) throws(FormatError) -> [PeftPattern<Value>] {
    guard isOn(key) else { return [] }
    guard let members = root[key]?.object else { throw error(key, .malformed("is not an object")) }
    var patterns: [PeftPattern<Value>] = []
    for member in members {
      guard let value = read(member.value) else {
        throw FormatError(path, at: "key '\(key)': '\(member.key)'", .malformed("is not \(kind)"))
      }
      let expression = try PeftExpression(member.key, key: key, path: path)
      patterns.append(PeftPattern(expression: expression, value: value))
    }
    return patterns
  }
}

/// A value for the modules whose name, or the part of it after a dot, matches an expression.
struct PeftPattern<Value> {
  let expression: PeftExpression
  let value: Value
}

extension PeftPattern: Sendable where Value: Sendable {}
