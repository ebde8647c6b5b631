/// A value of a recipe before anyone knows what it should be, with the place it comes from.
struct RecipeNode {
  /// The shape of the value.
  enum Value {
    case scalar(String, Style)
    case list([RecipeNode])
    case map([Member])
  }

  /// How a scalar was written, which decides what it may be read as.
  enum Style {
    /// Without quotes: a number, truth value or null if it looks like one, else text.
    case plain
    /// In quotes: text.
    case quoted
    /// Filled in from a variable or an argument: whatever is wanted in its place.
    case untyped
  }

  /// A key and its value.
  struct Member {
    let key: String
    let keyOrigin: RecipePlace.Origin
    var value: RecipeNode
  }

  var value: Value
  var origin: RecipePlace.Origin

  /// The value of a key, or nil when this is no map or has no such key.
  subscript(key: String) -> RecipeNode? {
    guard case .map(let members) = value else { return nil }
    return members.first { $0.key == key }?.value
  }

  /// Whether this is an explicit `null`; nothing at all is not, since it may be a slip.
  var isNull: Bool {
    guard case .scalar(let text, .plain) = value else { return false }
    return text == "null" || text == "~"
  }

  /// The value in the words of a message.
  var phrase: String {
    switch value {
    case .scalar("", .plain): "empty"
    case .scalar(let text, .quoted): "the text '\(text)'"
    case .scalar(let text, _): "'\(text)'"
    case .list: "a list"
    case .map: "a map"
    }
  }
}

extension String {
  /// Whether YAML reads this plain scalar as something else than text.
  var isTypedScalar: Bool {
    switch lowercased() {
    case "", "~", "null", "true", "false", ".nan", ".inf", "+.inf", "-.inf": true
    default: isNumber
    }
  }

  /// Whether this is an integer in decimal, without leading zeros, which some readers take for octal.
  var isInteger: Bool { wholeMatch(of: /[-+]?(0|[1-9][0-9]*)/) != nil }

  /// Whether this is a decimal number, `1e-4` among them.
  var isNumber: Bool {
    wholeMatch(of: /[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?/) != nil
  }
}
