/// A shell pattern, matched against whole names like `fnmatch` without flags.
struct Glob: Sendable {
  private enum Token: Sendable {
    case anyRun
    case one
    case literal(Unicode.Scalar)
    case set([ClosedRange<Unicode.Scalar>], isNegated: Bool)
  }

  private let tokens: [Token]

  /// The reason why a text is not a pattern.
  enum Defect: String, Error {
    case openSet = "has a '[' without its ']'"
    case backwardRange = "has a range that runs backwards"
  }

  /// Reads a pattern.
  init(_ text: String) throws(Defect) {
    var tokens: [Token] = []
    var rest = Array(text.unicodeScalars)[...]
    while let scalar = rest.popFirst() {
      switch scalar {
      case "*": tokens.append(.anyRun)
      case "?": tokens.append(.one)
      case "[":
        tokens.append(try Self.readSet(&rest))
      default: tokens.append(.literal(scalar))
      }
    }
    self.tokens = tokens
  }

  /// Reads the set after a `[`, up to its `]`; a `]` at the beginning is a literal.
  private static func readSet(_ rest: inout ArraySlice<Unicode.Scalar>) throws(Defect) -> Token {
    let isNegated = rest.first == "!"
    if isNegated { rest.removeFirst() }
    var ranges: [ClosedRange<Unicode.Scalar>] = []
    while let lower = rest.popFirst() {
      if lower == "]", !ranges.isEmpty { return .set(ranges, isNegated: isNegated) }
      var upper = lower
      if rest.first == "-", let end = rest.dropFirst().first, end != "]" {
        upper = end
        rest.removeFirst(2)
      }
      guard lower <= upper else { throw .backwardRange }
      ranges.append(lower...upper)
    }
    throw .openSet
  }

  /// Whether the pattern matches the whole name.
  func matches(_ name: String) -> Bool {
    let scalars = Array(name.unicodeScalars)
    var i = 0
    var token = 0
    // After a mismatch the last `*` takes one more scalar; earlier ones never need to.
    var retry: (token: Int, scalar: Int)?
    while i < scalars.count {
      if token < tokens.count, case .anyRun = tokens[token] {
        retry = (token, i)
        token += 1
      } else if token < tokens.count, Self.accepts(tokens[token], scalars[i]) {
        token += 1
        i += 1
      } else if let last = retry {
        retry = (last.token, last.scalar + 1)
        token = last.token + 1
        i = last.scalar + 1
      } else {
        return false
      }
    }
    return tokens[token...].allSatisfy { if case .anyRun = $0 { true } else { false } }
  }

  private static func accepts(_ token: Token, _ scalar: Unicode.Scalar) -> Bool {
    switch token {
    case .anyRun: false
    case .one: true
    case .literal(let literal): literal == scalar
    case .set(let ranges, let isNegated): ranges.contains { $0.contains(scalar) } != isNegated
    }
  }
}
