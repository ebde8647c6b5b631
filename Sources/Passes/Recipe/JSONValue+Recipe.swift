import Checkpoints

extension JSONValue {
  /// Escapes text for a recipe: `${` becomes `$${`.
  static func recipeText(_ text: String) -> JSONValue { .string(text.escapedForFilling) }

  /// Returns a value, or `null` for nil.
  static func optional<T>(_ value: T?, _ write: (T) -> JSONValue) -> JSONValue { value.map(write) ?? .null }

  /// Returns a list of patterns.
  static func patterns(_ patterns: [ModulePattern]) -> JSONValue {
    .array(patterns.map { .recipeText($0.text) })
  }

  /// Returns texts: `null`, a single path, or a list of paths and of maps with a share.
  static func texts(_ texts: TextList<PathOption>) -> JSONValue {
    guard texts.count > 1 || texts.shares.contains(where: { $0 != 1 }) else {
      return .optional(texts.first) { .recipeText($0.written) }
    }
    return .array(
      zip(texts, texts.shares).map { path, share in
        guard share != 1 else { return .recipeText(path.written) }
        return .object([.init("path", .recipeText(path.written)), .init("share", .integer(share))])
      })
  }

  /// A seed.
  static func seed(_ value: UInt64) -> JSONValue { .number(String(value)) }

  /// The document as YAML in block style, with lists of simple values on one line.
  package var yamlText: String { yamlLines.joined(separator: "\n") + "\n" }

  private var yamlLines: [String] {
    switch self {
    case .object(let members) where !members.isEmpty:
      members.flatMap { member in
        guard member.value.isBlock else { return ["\(member.key.yamlText): \(member.value.yamlFlow)"] }
        return ["\(member.key.yamlText):"] + member.value.yamlLines.map { "  \($0)" }
      }
    case .array(let elements) where isBlock:
      elements.flatMap { element in
        element.yamlLines.enumerated().map { i, line in (i == 0 ? "- " : "  ") + line }
      }
    default: [yamlFlow]
    }
  }

  private var isBlock: Bool {
    switch self {
    case .object(let members): !members.isEmpty
    case .array(let elements): elements.contains { $0.object != nil || $0.array != nil }
    default: false
    }
  }

  private var yamlFlow: String {
    switch self {
    case .string(let text): text.yamlText
    case .array(let elements): "[" + elements.map(\.yamlFlow).joined(separator: ", ") + "]"
    default: compactText
    }
  }
}

extension String {
  /// The text as a YAML scalar, in double quotes unless every reader parses it as text without them.
  fileprivate var yamlText: String {
    let wordsOfOtherReaders = ["yes", "no", "on", "off", "y", "n"]
    let isPlain =
      wholeMatch(of: /[A-Za-z_.\/][A-Za-z0-9_.\/-]*/) != nil && !isTypedScalar
      && !wordsOfOtherReaders.contains(lowercased())
    return isPlain ? self : "\"" + unicodeScalars.map(\.yamlText).joined() + "\""
  }
}

extension Unicode.Scalar {
  fileprivate var yamlText: String {
    switch self {
    case "\"": "\\\""
    case "\\": "\\\\"
    case " "..."~",
      "\u{A0}"..."\u{D7FF}" where value != 0x2028 && value != 0x2029:
      String(self)
    case "\u{E000}"..."\u{FFFD}" where value != 0xFEFF: String(self)
    case "\u{10000}"...: String(self)
    default:
      "\\u" + String(repeating: "0", count: 4 - String(value, radix: 16).count) + String(value, radix: 16)
    }
  }
}
