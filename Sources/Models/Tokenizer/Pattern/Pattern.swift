/// A compiled regular expression over UTF-8 text, with Oniguruma's meaning.
///
/// The leftmost match counts; at one place alternatives are tried in order and repetitions from the most,
/// backtracking until the rest matches. Nesting of calls is bounded by the expression, not by the text.
struct Pattern: Sendable {
  private let steps: [PatternStep]
  private let sets: [ScalarSet]
  private let starts: [Int]
  private let alternativesByFirstByte: [UInt64]

  /// Compiles a regular expression.
  ///
  /// - Throws: `PatternError` when it uses other syntax than `PatternParser` knows or could match nothing.
  init(regex: String) throws(PatternError) {
    try self.init(try PatternParser.parse(regex))
  }

  /// A pattern that matches a text itself.
  init(literal: String) throws(PatternError) {
    try self.init(.sequence(literal.unicodeScalars.map { .set(ScalarSet($0)) }))
  }

  /// Compiles a tree.
  init(_ node: PatternNode) throws(PatternError) {
    guard !node.matchesEmpty else {
      throw PatternError(reason: "a pattern that matches the empty text is not supported")
    }
    let program = try PatternProgram(node)
    steps = program.steps
    sets = program.sets
    starts = program.starts
    alternativesByFirstByte = program.alternativesByFirstByte()
  }

  /// Finds the first match that begins at `start` or later.
  ///
  /// - Parameters:
  ///   - text: Valid UTF-8.
  ///   - start: An offset where a scalar begins.
  /// - Returns: The offsets of the match, or nil.
  func firstMatch(in text: Span<UInt8>, from start: Int) -> Range<Int>? {
    var position = start
    while position < text.count {
      var candidates = alternativesByFirstByte[Int(text[position])]
      while candidates != 0 {
        let step = starts[candidates.trailingZeroBitCount]
        if let end = endOfMatch(from: step, in: text, at: position) { return position..<end }
        candidates &= candidates - 1
      }
      position = text.scalar(at: position).end
    }
    return nil
  }

  /// Where the match ends that goes on with a step at an offset, or nil when there is none.
  private func endOfMatch(from step: Int, in text: Span<UInt8>, at start: Int) -> Int? {
    var step = step
    var position = start
    while true {
      switch steps[step] {
      case .matched: return position
      case .one(let ascii, let set, let next):
        guard let end = endOfScalar(ascii, set, in: text, at: position) else { return nil }
        position = end
        step = next
      case .many: return endOfMany(steps[step], in: text, at: position)
      case .either(let first, let second):
        if let end = endOfMatch(from: first, in: text, at: position) { return end }
        step = second
      case .notAhead(let body, let next):
        guard endOfMatch(from: body, in: text, at: position) == nil else { return nil }
        step = next
      }
    }
  }

  private func endOfMany(_ step: PatternStep, in text: Span<UInt8>, at start: Int) -> Int? {
    guard case .many(let ascii, let set, let minimum, let maximum, let isPossessive, let next) = step else {
      return nil
    }
    var position = start
    var count = 0
    while count < maximum, let end = endOfScalar(ascii, set, in: text, at: position) {
      position = end
      count += 1
    }
    guard count >= minimum else { return nil }
    if isPossessive { return endOfMatch(from: next, in: text, at: position) }
    while true {
      if let end = endOfMatch(from: next, in: text, at: position) { return end }
      guard count > minimum else { return nil }
      position = text.startOfScalar(before: position)
      count -= 1
    }
  }

  private func endOfScalar(_ ascii: ASCIISet, _ set: Int, in text: Span<UInt8>, at start: Int) -> Int? {
    guard start < text.count else { return nil }
    let byte = text[start]
    if byte < 0x80 { return ascii.contains(byte) ? start + 1 : nil }
    let scalar = text.scalar(at: start)
    return sets[set].containsBeyondASCII(scalar.value) ? scalar.end : nil
  }
}
