/// Parses the part of Oniguruma's syntax that tokenizers use.
///
/// Accepts literals, classes without `.`, `\p{…}` of general categories, `\s \d` and their negations, groups,
/// `(?i:…)`, `(?!…)`, alternation, greedy `? * + {m,n}` and possessive `?+ *+ ++`. Errors name any other
/// syntax.
struct PatternParser {
  private static let depthLimit = 32
  private static let repetitionLimit = 1000
  /// Two letters that a single scalar folds to (`ß`, `ﬀ`, `ﬁ`, `ﬂ`, `ﬆ`), which Oniguruma would match.
  private static let foldingPairs = ["ss", "ff", "fi", "fl", "st"]

  private let scalars: [Unicode.Scalar]
  private var position = 0
  private var depth = 0

  /// Parses a whole expression.
  static func parse(_ text: String) throws(PatternError) -> PatternNode {
    var parser = PatternParser(scalars: Array(text.unicodeScalars))
    let node = try parser.readAlternatives(foldingCase: false)
    guard parser.position == parser.scalars.count else { throw parser.unsupported(")") }
    return node
  }

  private init(scalars: [Unicode.Scalar]) { self.scalars = scalars }

  private var next: Unicode.Scalar? { position < scalars.count ? scalars[position] : nil }

  private mutating func take(_ text: String) -> Bool {
    guard scalars[position...].starts(with: text.unicodeScalars) else { return false }
    position += text.unicodeScalars.count
    return true
  }

  private mutating func readScalar() throws(PatternError) -> Unicode.Scalar {
    guard let scalar = next else { throw PatternError(reason: "the regular expression ends too early") }
    position += 1
    return scalar
  }

  private func unsupported(_ what: String) -> PatternError {
    PatternError(reason: "'\(what)' in a regular expression is not supported")
  }

  private mutating func readAlternatives(foldingCase: Bool) throws(PatternError) -> PatternNode {
    depth += 1
    guard depth <= Self.depthLimit else {
      throw PatternError(reason: "a regular expression nests deeper than \(Self.depthLimit)")
    }
    defer { depth -= 1 }
    var alternatives = [try readSequence(foldingCase: foldingCase)]
    while take("|") { alternatives.append(try readSequence(foldingCase: foldingCase)) }
    return alternatives.count == 1 ? alternatives[0] : .alternatives(alternatives)
  }

  private mutating func readSequence(foldingCase: Bool) throws(PatternError) -> PatternNode {
    var nodes: [PatternNode] = []
    while let scalar = next, scalar != "|", scalar != ")" {
      if foldingCase { try checkFolding() }
      nodes.append(try readRepetition(of: try readAtom(foldingCase: foldingCase)))
    }
    return nodes.count == 1 ? nodes[0] : .sequence(nodes)
  }

  private func checkFolding() throws(PatternError) {
    let pair = String(String.UnicodeScalarView(scalars[position...].prefix(2))).lowercased()
    if Self.foldingPairs.contains(pair) { throw unsupported("(?i:\(pair))") }
  }

  private mutating func readAtom(foldingCase: Bool) throws(PatternError) -> PatternNode {
    switch try readScalar() {
    case "(": return try readGroup(foldingCase: foldingCase)
    case "[": return .set(try readClass(foldingCase: foldingCase))
    case "\\":
      switch try readEscape(foldingCase: foldingCase) {
      case .literal(let scalar): return .set(try literal(scalar, foldingCase: foldingCase))
      case .set(let set): return .set(set)
      }
    case let scalar where ".^$*+?{}]".unicodeScalars.contains(scalar): throw unsupported(String(scalar))
    case let scalar: return .set(try literal(scalar, foldingCase: foldingCase))
    }
  }

  private mutating func readGroup(foldingCase: Bool) throws(PatternError) -> PatternNode {
    let node: PatternNode
    if take("?!") {
      node = .notAhead(try readAlternatives(foldingCase: foldingCase))
    } else if take("?i:") {
      node = try readAlternatives(foldingCase: true)
    } else if take("?:") || next != "?" {
      node = try readAlternatives(foldingCase: foldingCase)
    } else {
      throw unsupported("(" + String(String.UnicodeScalarView(scalars[position...].prefix(2))))
    }
    guard take(")") else { throw PatternError(reason: "a group of the regular expression does not end") }
    return node
  }

  private func literal(_ scalar: Unicode.Scalar, foldingCase: Bool) throws(PatternError) -> ScalarSet {
    var set = ScalarSet(scalar)
    guard foldingCase else { return set }
    guard scalar.isASCII else { throw unsupported("(?i:\(scalar))") }
    set.insertCaseVariants()
    return set
  }
}

/// Parsing repetitions.
extension PatternParser {
  private mutating func readRepetition(of node: PatternNode) throws(PatternError) -> PatternNode {
    guard var repetition = try readBounds() else { return node }
    let isInterval = scalars[position - 1] == "}"
    if next == "+", !isInterval {  // After an interval, Oniguruma's `+` repeats it instead.
      position += 1
      repetition.isPossessive = true
    }
    if let scalar = next, "?*+{".unicodeScalars.contains(scalar) {
      throw unsupported("\(scalars[position - 1])\(scalar)")
    }
    if case .notAhead = node { throw unsupported("(?!…)\(scalars[position - 1])") }
    return .repetition(node, repetition)
  }

  private mutating func readBounds() throws(PatternError) -> PatternNode.Repetition? {
    if take("?") { return .init(minimum: 0, maximum: 1) }
    if take("*") { return .init(minimum: 0, maximum: .max) }
    if take("+") { return .init(minimum: 1, maximum: .max) }
    guard take("{") else { return nil }
    let minimum = try readCount()
    var maximum = minimum
    if take(",") { maximum = next == "}" ? .max : try readCount() }
    guard take("}"), maximum >= max(minimum, 1) else { throw unsupported("{\(minimum)…}") }
    return .init(minimum: minimum, maximum: maximum)
  }

  private mutating func readCount() throws(PatternError) -> Int {
    var digits = ""
    while let scalar = next, ("0"..."9").contains(scalar) {
      digits.unicodeScalars.append(scalar)
      position += 1
    }
    guard let count = Int(digits), count <= Self.repetitionLimit else { throw unsupported("{\(digits)…}") }
    return count
  }
}

/// Parsing classes and escapes.
extension PatternParser {
  private enum Escape {
    case literal(Unicode.Scalar)
    case set(ScalarSet)
  }

  private mutating func readEscape(foldingCase: Bool) throws(PatternError) -> Escape {
    switch try readScalar() {
    case "n": return .literal("\n")
    case "r": return .literal("\r")
    case "t": return .literal("\t")
    case "s": return .set(.whiteSpace)
    case "S": return .set(ScalarSet.whiteSpace.complement)
    case "d": return .set(try category("Nd", foldingCase: foldingCase))
    case "D": return .set(try category("Nd", foldingCase: foldingCase).complement)
    case "p": return .set(try readCategory(foldingCase: foldingCase))
    case "P": return .set(try readCategory(foldingCase: foldingCase).complement)
    case let scalar where scalar.isASCII && !scalar.properties.isAlphabetic && !("0"..."9").contains(scalar):
      return .literal(scalar)
    case let scalar: throw unsupported("\\\(scalar)")
    }
  }

  private mutating func readCategory(foldingCase: Bool) throws(PatternError) -> ScalarSet {
    guard take("{") else { throw unsupported("\\p") }
    var name = ""
    while let scalar = next, scalar != "}" {
      name.unicodeScalars.append(scalar)
      position += 1
    }
    guard take("}") else { throw PatternError(reason: "'\\p{' of the regular expression does not end") }
    return try category(name, foldingCase: foldingCase)
  }

  private func category(_ name: String, foldingCase: Bool) throws(PatternError) -> ScalarSet {
    guard !foldingCase, let kinds = ScalarKinds(category: name) else {
      throw unsupported(foldingCase ? "(?i:\\p{\(name)})" : "\\p{\(name)}")
    }
    return ScalarSet(kinds)
  }

  private mutating func readClass(foldingCase: Bool) throws(PatternError) -> ScalarSet {
    let isNegated = take("^")
    if foldingCase && isNegated { throw unsupported("(?i:[^…])") }
    if next == "]" { throw unsupported("[]") }
    var set = ScalarSet()
    let start = position
    while !take("]") {
      if next == "-", position > start, position + 1 < scalars.count, scalars[position + 1] != "]" {
        throw unsupported("- inside a class")
      }
      switch try readClassMember(foldingCase: foldingCase) {
      case .set(let member): set.insert(member)
      case .literal(let first):
        let last = try readRangeEnd(foldingCase: foldingCase) ?? first
        guard first <= last else { throw unsupported("\(first)-\(last)") }
        if foldingCase && !last.isASCII { throw unsupported("(?i:[\(last)])") }
        set.insert(first...last)
      }
    }
    if foldingCase { set.insertCaseVariants() }
    return isNegated ? set.complement : set
  }

  private mutating func readClassMember(foldingCase: Bool) throws(PatternError) -> Escape {
    if take("&&") { throw unsupported("&&") }
    switch try readScalar() {
    case "[": throw unsupported("[ inside a class")
    case "\\": return try readEscape(foldingCase: foldingCase)
    case let scalar: return .literal(scalar)
    }
  }

  /// Reads the upper end of a range after its lower end, or returns nil if no range follows.
  private mutating func readRangeEnd(foldingCase: Bool) throws(PatternError) -> Unicode.Scalar? {
    guard next == "-", position + 1 < scalars.count, scalars[position + 1] != "]" else { return nil }
    position += 1
    guard case .literal(let last) = try readClassMember(foldingCase: foldingCase) else {
      throw unsupported("- before a class")
    }
    return last
  }
}
