import Checkpoints

/// A pattern over module names: a name or its end, a glob, or `re:` followed by a regular expression.
///
/// - A text without `*`, `?` and `[` matches the module of that name, and modules whose last components equal
///   it: `mlp.down_proj` matches `model.layers.0.mlp.down_proj`.
/// - A glob matches the whole name; `*` matches any characters including dots, `?` any one character, and
///   `[a-c]` and `[!a-c]` one character of a set.
/// - A regular expression matches the whole name.
public struct ModulePattern: Sendable, CustomStringConvertible {
  /// The pattern as it was written.
  public let text: String
  /// The place of the pattern in a recipe, for messages.
  let place: RecipePlace?
  private let kind: Kind

  private enum Kind: Sendable {
    case name
    case glob(Glob)
    /// Compiled by `matcher`, because a `Regex` cannot be shared between threads.
    case expression(String)
  }

  /// Parses a pattern.
  ///
  /// - Throws: `PassError.usage` when the text is empty, or the glob or expression is malformed.
  public init(_ text: String) throws(PassError) { try self.init(text, at: nil) }

  /// Parses a pattern of a recipe.
  init(_ text: String, at place: RecipePlace?) throws(PassError) {
    self.text = text
    self.place = place
    guard !text.isEmpty else { throw Self.malformed(text, place, "is empty") }
    if text.hasPrefix("re:") {
      kind = .expression(String(text.dropFirst(3)))
      guard (try? makeRegex(String(text.dropFirst(3)))) != nil else {
        throw Self.malformed(text, place, "is not a regular expression")
      }
    } else if text.contains(where: { "*?[".contains($0) }) {
      do {
        kind = .glob(try Glob(text))
      } catch {
        throw Self.malformed(text, place, error.rawValue)
      }
    } else {
      kind = .name
    }
  }

  private static func malformed(_ text: String, _ place: RecipePlace?, _ reason: String) -> PassError {
    let message = "pattern '\(text)' \(reason)"
    return place.map { .recipe($0, message) } ?? .usage(message)
  }

  /// The pattern as it was written.
  public var description: String { text }

  /// Returns a test for names; create it once for many names, because it compiles the expression.
  package func matcher() throws -> (String) -> Bool {
    switch kind {
    case .name: nameMatcher()
    case .glob(let glob): { glob.matches($0) }
    case .expression(let expression): try expressionMatcher(expression)
    }
  }

  private func nameMatcher() -> (String) -> Bool {
    let end = Array(("." + text).utf8)
    // Comparing bytes is faster over many names.
    return { $0 == text || $0.utf8.suffix(end.count).elementsEqual(end) }
  }

  private func expressionMatcher(_ expression: String) throws -> (String) -> Bool {
    let regex = try makeRegex(expression)
    return { (try? regex.wholeMatch(in: $0)) != nil }
  }

  /// Returns the module that was probably meant: the one whose last components are nearest to the pattern.
  func nearest(among names: [String]) -> String? {
    let literal = (text.hasPrefix("re:") ? String(text.dropFirst(3)) : text)
      .filter { !"*?[]()|+^$\\".contains($0) }
    let components = literal.split(separator: ".")
    let wanted = components.joined(separator: ".")
    let ends = names.map { name in
      name.split(separator: ".").suffix(components.count).joined(separator: ".")
    }
    return nearestName(to: wanted, among: ends).flatMap { end in ends.firstIndex(of: end) }.map { names[$0] }
  }
}

extension ModulePattern: Equatable {
  /// Whether the patterns have the same text, wherever they were written.
  public static func == (a: ModulePattern, b: ModulePattern) -> Bool { a.text == b.text }
}

private func makeRegex(_ expression: String) throws -> Regex<AnyRegexOutput> { try Regex(expression) }
