/// A regular expression over module names, as Python's `re` reads it.
///
/// Supports literals, `.`, classes, groups, alternation, `^`, `$`, `\b`, `\B`, and the repetitions `*`, `+`,
/// `?` and `{m,n}`. Anything else is refused rather than read differently. `\d`, `\w` and `\b` know ASCII
/// only. All ways through the expression are followed at once, so the time is at most the length of the name
/// times `stepCount`.
struct NamePattern {
  /// The text of the expression.
  let text: String
  private let steps: [Step]

  /// One instruction of the compiled expression.
  fileprivate enum Step {
    case scalar((UInt32) -> Bool)
    case start
    case end
    case wordBoundary(isWanted: Bool)
    case jump(Int)
    case fork(Int, Int)
    case accept
  }

  /// Compiles an expression; nil when it is malformed or uses unsupported syntax.
  init?(_ text: String) {
    self.text = text
    var compiler = Compiler(text)
    guard compiler.compile() else { return nil }
    steps = compiler.steps
  }

  /// The size of the compiled expression; the time of a match is proportional to it.
  var stepCount: Int { steps.count }

  /// Why an expression cannot be compiled, as a phrase; nil when it can.
  static func defect(of text: String) -> String? {
    var compiler = Compiler(text)
    guard !compiler.compile() else { return nil }
    return compiler.refused.map { "uses \($0), which is not supported" } ?? "is not a regular expression"
  }

  /// Whether some start of a name matches: Python's `re.match`.
  func matchesStart(of name: String) -> Bool { matches(name, anywhere: false, toEnd: false) }

  /// Whether some part of a name matches: Python's `re.search`.
  func isFound(in name: String) -> Bool { matches(name, anywhere: true, toEnd: false) }

  /// Whether a whole name matches: Python's `re.fullmatch`.
  func matchesAll(of name: String) -> Bool { matches(name, anywhere: false, toEnd: true) }

  private func matches(_ name: String, anywhere: Bool, toEnd: Bool) -> Bool {
    let scalars = name.unicodeScalars.map(\.value)
    var current = StepSet(stepCount: steps.count)
    var next = StepSet(stepCount: steps.count)
    for position in 0...scalars.count {
      if anywhere || position == 0 { follow(0, position, scalars, &current) }
      for step in current.members {
        switch steps[step] {
        case .accept where !toEnd || position == scalars.count: return true
        case .scalar(let accepts) where position < scalars.count && accepts(scalars[position]):
          follow(step + 1, position + 1, scalars, &next)
        default: continue
        }
      }
      if next.members.isEmpty, !anywhere { return false }
      swap(&current, &next)
      next.removeAll()
    }
    return false
  }

  /// Adds a step and all steps that are reached from it without reading a character.
  private func follow(_ first: Int, _ position: Int, _ scalars: [UInt32], _ reached: inout StepSet) {
    var open = [first]
    while let step = open.popLast() {
      guard reached.insert(step) else { continue }
      switch steps[step] {
      case .jump(let target): open.append(target)
      case .fork(let a, let b): open += [a, b]
      case .start where position == 0: open.append(step + 1)
      case .end where position == scalars.count: open.append(step + 1)
      case .wordBoundary(let isWanted) where isBoundary(position, scalars) == isWanted: open.append(step + 1)
      default: continue
      }
    }
  }

  /// Whether exactly one of the neighbours of a position is a letter, a digit or `_`.
  private func isBoundary(_ position: Int, _ scalars: [UInt32]) -> Bool {
    let isWordBefore = position > 0 && Compiler.isWord(scalars[position - 1])
    let isWordAfter = position < scalars.count && Compiler.isWord(scalars[position])
    return isWordBefore != isWordAfter
  }
}

/// A set of steps of an expression; emptying it takes no longer than filling it.
private struct StepSet {
  private(set) var members: [Int] = []
  private var isMember: [Bool]

  init(stepCount: Int) { isMember = [Bool](repeating: false, count: stepCount) }

  /// Adds a step; returns false when it was there already.
  mutating func insert(_ step: Int) -> Bool {
    guard !isMember[step] else { return false }
    isMember[step] = true
    members.append(step)
    return true
  }

  mutating func removeAll() {
    for step in members { isMember[step] = false }
    members.removeAll(keepingCapacity: true)
  }
}

/// Turns the text of an expression into steps.
private struct Compiler {
  /// The maximum number of steps, far above any expression over names; it bounds repetitions.
  private static let stepLimit = 4096
  private static let depthLimit = 32

  private let scalars: [Unicode.Scalar]
  private var position = 0
  private var depth = 0
  private(set) var steps: [NamePattern.Step] = []
  /// The first unsupported construct.
  private(set) var refused: String?

  init(_ text: String) { scalars = Array(text.unicodeScalars) }

  mutating func compile() -> Bool {
    guard let body = alternation(), position == scalars.count else { return false }
    steps = body + [.accept]
    return true
  }

  private func peek() -> Unicode.Scalar? { position < scalars.count ? scalars[position] : nil }

  private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
    guard peek() == scalar else { return false }
    position += 1
    return true
  }

  private mutating func refuse(_ construct: String) { refused = refused ?? construct }

  private mutating func alternation() -> [NamePattern.Step]? {
    guard var left = sequence() else { return nil }
    while take("|") {
      guard let right = sequence() else { return nil }
      left =
        [.fork(1, left.count + 2)] + left.moved(by: 1) + [.jump(left.count + right.count + 2)]
        + right.moved(by: left.count + 2)
    }
    return left.count <= Self.stepLimit ? left : nil
  }

  private mutating func sequence() -> [NamePattern.Step]? {
    var steps: [NamePattern.Step] = []
    while let scalar = peek(), scalar != "|", scalar != ")" {
      guard let atom = atom(), let repeated = repeated(atom) else { return nil }
      steps += repeated.moved(by: steps.count)
      guard steps.count <= Self.stepLimit else { return nil }
    }
    return steps
  }

  private mutating func atom() -> [NamePattern.Step]? {
    guard let scalar = peek() else { return nil }
    position += 1
    switch scalar {
    case "(": return group()
    case "[": return characterClass().map { [.scalar($0)] }
    case ".": return [.scalar { $0 != 10 }]
    case "^": return [.start]
    case "$": return [.end]
    case "\\":
      if take("b") { return [.wordBoundary(isWanted: true)] }
      if take("B") { return [.wordBoundary(isWanted: false)] }
      return escape().map { [.scalar($0)] }
    case "*", "+", "?", "{", "}": return nil
    default: return [.scalar { $0 == scalar.value }]
    }
  }

  private mutating func group() -> [NamePattern.Step]? {
    if take("?"), !take(":") {
      refuse("'(?\(peek().map(String.init) ?? "")'")
      return nil
    }
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.depthLimit, let body = alternation(), take(")") else { return nil }
    return body
  }

  private mutating func escape() -> ((UInt32) -> Bool)? {
    guard let scalar = peek() else { return nil }
    position += 1
    switch scalar {
    case "d": return Self.isDigit
    case "D": return { !Self.isDigit($0) }
    case "w": return Self.isWord
    case "W": return { !Self.isWord($0) }
    case _ where scalar.isASCII && !Self.isWord(scalar.value): return { $0 == scalar.value }
    default:
      refuse("'\\\(scalar)'")
      return nil
    }
  }

  private static func isDigit(_ value: UInt32) -> Bool { (48...57).contains(value) }

  static func isWord(_ value: UInt32) -> Bool {
    isDigit(value) || (65...90).contains(value) || (97...122).contains(value) || value == 95
  }

  private mutating func characterClass() -> ((UInt32) -> Bool)? {
    let isNegated = take("^")
    var members: [(UInt32) -> Bool] = []
    while let scalar = peek(), scalar != "]" || members.isEmpty {
      position += 1
      if scalar == "\\" {
        guard let member = escape() else { return nil }
        members.append(member)
      } else if peek() == "-", position + 1 < scalars.count, scalars[position + 1] != "]" {
        let upper = scalars[position + 1]
        guard upper != "\\", scalar.value <= upper.value else { return nil }
        position += 2
        members.append { (scalar.value...upper.value).contains($0) }
      } else {
        members.append { $0 == scalar.value }
      }
    }
    guard take("]") else { return nil }
    return { [members] value in members.contains { $0(value) } != isNegated }
  }

  /// An atom with the repetition that follows it.
  private mutating func repeated(_ atom: [NamePattern.Step]) -> [NamePattern.Step]? {
    guard let (least, most) = repetition() else { return nil }
    // A lazy mark changes what is captured, not what matches.
    if most != 1 || least != 1 { _ = take("?") }
    guard !["*", "+", "?", "{"].contains(peek()) else {
      if take("+") { refuse("a possessive '+'") }
      return nil
    }
    var steps: [NamePattern.Step] = []
    for _ in 0..<least {
      steps += atom.moved(by: steps.count)
      guard steps.count <= Self.stepLimit else { return nil }
    }
    guard let most else {
      let start = steps.count
      return steps + [.fork(start + 1, start + atom.count + 2)] + atom.moved(by: start + 1) + [.jump(start)]
    }
    for _ in least..<max(least, most) {
      let start = steps.count
      steps += [.fork(start + 1, start + atom.count + 1)] + atom.moved(by: start + 1)
      guard steps.count <= Self.stepLimit else { return nil }
    }
    return steps
  }

  /// How often an atom is repeated: once without a mark; a `most` of nil means without end.
  private mutating func repetition() -> (least: Int, most: Int?)? {
    if take("*") { return (0, nil) }
    if take("+") { return (1, nil) }
    if take("?") { return (0, 1) }
    guard take("{") else { return (1, 1) }
    let least = number()
    if take("}") { return least.map { ($0, $0) } }
    guard take(",") else { return nil }
    let most = number()
    guard take("}"), least != nil || most != nil, (most ?? Int.max) >= (least ?? 0) else { return nil }
    return (least ?? 0, most)
  }

  private mutating func number() -> Int? {
    var value: Int?
    while let scalar = peek(), Self.isDigit(scalar.value) {
      position += 1
      value = min((value ?? 0) * 10 + Int(scalar.value - 48), Self.stepLimit)
    }
    return value
  }
}

extension [NamePattern.Step] {
  /// The steps, with their targets moved to another place in the list.
  fileprivate func moved(by offset: Int) -> Self {
    map { step in
      switch step {
      case .jump(let target): .jump(target + offset)
      case .fork(let a, let b): .fork(a + offset, b + offset)
      default: step
      }
    }
  }
}
