/// A regular expression of an `adapter_config.json`, in Python's syntax as far as Swift's engine shares it.
///
/// Source: the module names that PEFT 0.21 compares with `re.match` and `re.fullmatch`; `Formats/peft.md`.
struct PeftExpression: Sendable, Equatable {
  /// Far above any expression over module names; deeper ones could exhaust the parser's stack.
  private static let byteLimit = 2048

  let text: String

  /// Checks an expression.
  ///
  /// - Throws: `FormatError` when it is empty, too long, or none.
  init(_ text: String, key: String, path: String) throws(FormatError) {
    self.text = text
    let place = "key '\(key)'"
    guard !text.isEmpty else { throw FormatError(path, at: place, .malformed("has an empty expression")) }
    guard text.utf8.count <= Self.byteLimit else {
      throw FormatError(
        path, at: place, .unsupported("an expression of more than \(Self.byteLimit) bytes is not supported"))
    }
    guard (try? makeRegex(text)) != nil else {
      throw FormatError(path, at: place, .malformed("'\(text)' is not a regular expression"))
    }
  }

  /// A test for whole names; made once for many of them, since the expression is compiled here.
  func wholeNameMatcher() -> (String) -> Bool { Self.matcher(text) { $0.wholeMatch(of: $1) != nil } }

  /// A test for whole names and for what follows a dot in them, as the keys of `rank_pattern` are used.
  func nameEndMatcher() -> (String) -> Bool {
    if text.utf8.allSatisfy({ $0.isWordCharacter || $0 == UInt8(ascii: ".") }) { return plainMatcher() }
    return Self.matcher("(.*\\.)?(\(text))") { $0.wholeMatch(of: $1) != nil }
  }

  /// `nameEndMatcher` for letters, digits and dots, which needs no engine: most keys are names.
  private func plainMatcher() -> (String) -> Bool {
    let pattern = Array(text.unicodeScalars)
    return { name in
      let end = name.unicodeScalars.suffix(pattern.count)
      guard end.count == pattern.count,
        zip(end, pattern).allSatisfy({ $0 == $1 || ($1 == "." && $0 != "\n") })
      else { return false }
      return end.startIndex == name.startIndex || name[..<end.startIndex].unicodeScalars.last == "."
    }
  }

  /// A test for some components of a name that follow each other, as the entries of `modules_to_save` are used.
  func componentMatcher() -> (String) -> Bool {
    Self.matcher("(^|.*\\.)\(text)($|\\..*)") { $0.prefixMatch(of: $1) != nil }
  }

  /// Finds the number that follows the expression in a name: `layers` gives 3 for `model.layers.3.mlp`.
  func numberFinder() -> (String) -> Int? {
    guard let regex = try? makeRegex("(?:^|.*?\\.)\(text)\\.(?<number>[0-9]+)\\.") else {
      return { _ in nil }
    }
    return { name in
      guard let match = try? regex.prefixMatch(in: name) else { return nil }
      return match.output["number"]?.substring.flatMap { Int($0) }
    }
  }

  private static func matcher(
    _ text: String, _ test: @escaping (String, Regex<AnyRegexOutput>) -> Bool
  ) -> (String) -> Bool {
    // What stands around it can make an expression malformed only by its own fault; then nothing matches.
    guard let regex = try? makeRegex(text) else { return { _ in false } }
    return { test($0, regex) }
  }
}

extension String {
  /// Whether the last bytes are these; faster than comparing characters.
  func hasByteSuffix(_ end: String) -> Bool { utf8.suffix(end.utf8.count).elementsEqual(end.utf8) }
}

extension UInt8 {
  fileprivate var isWordCharacter: Bool {
    switch self {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
      true
    default: false
    }
  }
}

private func makeRegex(_ text: String) throws -> Regex<AnyRegexOutput> { try Regex(text) }
