/// A regular expression of an `adapter_config.json`, in the part of Python's syntax that `NamePattern`
/// supports.
///
/// Source: the module names that PEFT 0.21 compares with `re.match` and `re.fullmatch`; `Formats/peft.md`.
struct PeftExpression: Sendable, Equatable {
  /// The maximum length, far above any expression over module names.
  private static let byteLimit = 2048

  let text: String
  /// The cost of a match per character of a name; 0 for a plain name.
  let stepCount: Int

  /// Checks an expression.
  ///
  /// - Throws: `FormatError` when it is empty, too long, malformed, or uses what is not supported.
  init(_ text: String, key: String, path: String) throws(FormatError) {
    self.text = text
    let place = "key '\(key)'"
    guard !text.isEmpty else { throw FormatError(path, at: place, .malformed("has an empty expression")) }
    guard text.utf8.count <= Self.byteLimit else {
      throw FormatError(
        path, at: place, .unsupported("an expression of more than \(Self.byteLimit) bytes is not supported"))
    }
    guard let pattern = NamePattern(text) else {
      let defect = NamePattern.defect(of: text) ?? "is not a regular expression"
      throw FormatError(path, at: place, .unsupported("'\(text)' \(defect)"))
    }
    stepCount = text.isPlainName ? 0 : pattern.stepCount
  }

  /// A test for whole names; reuse it for many names, because the expression is compiled here.
  func wholeNameMatcher() -> (String) -> Bool { Self.matcher(text) { $0.matchesAll(of: $1) } }

  /// A test for whole names and for the parts of names after a dot, as for the keys of `rank_pattern`.
  func nameEndMatcher() -> (String) -> Bool {
    if text.isPlainName { return plainMatcher() }
    return Self.matcher("(?:.*\\.)?(?:\(text))") { $0.matchesAll(of: $1) }
  }

  /// `nameEndMatcher` for letters, digits and dots, which needs no expression: most keys are names.
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

  /// A test for consecutive components of a name, as for the entries of `modules_to_save`.
  func componentMatcher() -> (String) -> Bool {
    Self.matcher("(?:^|.*\\.)\(text)(?:$|\\..*)") { $0.matchesStart(of: $1) }
  }

  private static func matcher(
    _ text: String, _ test: @escaping (NamePattern, String) -> Bool
  ) -> (String) -> Bool {
    // The text around an expression can only make it too long; then nothing matches.
    guard let pattern = NamePattern(text) else { return { _ in false } }
    return { test(pattern, $0) }
  }
}

extension String {
  /// Whether the text ends with these bytes; faster than comparing characters.
  func hasByteSuffix(_ end: String) -> Bool { utf8.suffix(end.utf8.count).elementsEqual(end.utf8) }

  /// Whether this has only letters, digits, `_` and dots.
  fileprivate var isPlainName: Bool { utf8.allSatisfy { $0.isWordCharacter || $0 == UInt8(ascii: ".") } }
}

extension UInt8 {
  /// Whether this is a letter, a digit or `_` in ASCII.
  var isWordCharacter: Bool {
    switch self {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
      true
    default: false
    }
  }
}
