/// A JSON document that keeps the order of keys and the text of numbers.
public enum JSONValue: Sendable, Equatable {
  case null
  case bool(Bool)
  /// A number as in the text, so that a document can be written back unchanged.
  case number(String)
  case string(String)
  case array([JSONValue])
  case object([Member])

  /// A key and its value.
  public struct Member: Sendable, Equatable {
    /// The key, unique in its object.
    public var key: String
    /// What it holds.
    public var value: JSONValue

    /// Pairs a key with a value.
    public init(_ key: String, _ value: JSONValue) {
      self.key = key
      self.value = value
    }
  }
}

extension JSONValue {
  /// The value of a key, or nil when this is not an object or has no such key.
  public subscript(key: String) -> JSONValue? {
    guard case .object(let members) = self else { return nil }
    return members.first { $0.key == key }?.value
  }

  /// The text, when this is a string.
  public var string: String? {
    guard case .string(let text) = self else { return nil }
    return text
  }

  /// The number, when it is written as an integer without fraction or exponent and fits.
  public var integer: Int? {
    guard case .number(let text) = self else { return nil }
    return Int(text)
  }

  /// The number, when this is one.
  public var double: Double? {
    guard case .number(let text) = self else { return nil }
    return Double(text)
  }

  /// The truth value, when this is one.
  public var bool: Bool? {
    guard case .bool(let value) = self else { return nil }
    return value
  }

  /// The elements, when this is an array.
  public var array: [JSONValue]? {
    guard case .array(let elements) = self else { return nil }
    return elements
  }

  /// The members in order, when this is an object.
  public var object: [Member]? {
    guard case .object(let members) = self else { return nil }
    return members
  }

  /// Whether this is `null`.
  public var isNull: Bool { self == .null }

  /// An integer as a JSON number.
  public static func integer(_ value: Int) -> JSONValue { .number(String(value)) }

  /// A finite number, written so that it reads back exactly; `null` when it is not finite.
  public static func double(_ value: Double) -> JSONValue {
    value.isFinite ? .number(value.description) : .null
  }

  /// Sets or adds a key of an object.
  public mutating func set(_ key: String, to value: JSONValue) {
    guard case .object(var members) = self else { preconditionFailure("not an object") }
    if let index = members.firstIndex(where: { $0.key == key }) {
      members[index].value = value
    } else {
      members.append(Member(key, value))
    }
    self = .object(members)
  }
}
