/// A value of a recipe before its type is checked, with its place.
struct RecipeNode {
  /// The shape of the value.
  enum Value {
    case scalar(String, Style)
    case list([RecipeNode])
    case map([Member])
  }

  /// The style of a scalar, which decides how it can be read.
  enum Style {
    /// Without quotes: a number, boolean or null if it looks like one, otherwise text.
    case plain
    /// In quotes: text.
    case quoted
    /// From a variable or an argument: any type that its place requires.
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

  /// Returns the value of a key, or nil when the node is not a map or has no such key.
  subscript(key: String) -> RecipeNode? {
    guard case .map(let members) = value else { return nil }
    return members.first { $0.key == key }?.value
  }

  /// Whether the node is an explicit `null`; an empty value is not, since it can be a mistake.
  var isNull: Bool {
    guard case .scalar(let text, .plain) = value else { return false }
    return text == "null" || text == "~"
  }

  /// The value as a phrase for messages.
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
  /// Whether YAML reads this plain scalar as something other than text.
  var isTypedScalar: Bool {
    switch lowercased() {
    case "", "~", "null", "true", "false", ".nan", ".inf", "+.inf", "-.inf": true
    default: isNumber
    }
  }

  /// Whether the text is a decimal integer without leading zeros, which some readers parse as octal.
  var isInteger: Bool { wholeMatch(of: /[-+]?(0|[1-9][0-9]*)/) != nil }

  /// Whether the text is a decimal number, including `1e-4`.
  var isNumber: Bool {
    wholeMatch(of: /[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?/) != nil
  }
}
