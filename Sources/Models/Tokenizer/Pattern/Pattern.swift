/// A compiled regular expression over UTF-8 text, with Oniguruma's semantics.
///
/// The leftmost match wins. At one position, alternatives are tried in order and repetitions from the
/// longest, backtracking until the rest matches. The expression, not the text, bounds the recursion depth,
/// and matching never takes time that is exponential in the length of the text.
struct Pattern: Sendable {
  private let steps: [PatternStep]
  private let sets: [ScalarSet]
  private let starts: [Int]
  private let alternativesByFirstByte: [UInt64]

  /// Compiles a regular expression.
  ///
  /// - Throws: `PatternError` when the expression uses syntax that `PatternParser` does not know, or can
  ///   match the empty text.
  init(regex: String) throws(PatternError) {
    try self.init(try PatternParser.parse(regex))
  }

  /// Creates a pattern that matches a text literally.
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
  ///   - start: A byte offset where a scalar begins.
  /// - Returns: The offsets of the match, or nil.
  func firstMatch(in text: Span<UInt8>, from start: Int) -> Range<Int>? {
    var position = start
    var deadEnds = DeadEnds()
    while position < text.count {
      var candidates = alternativesByFirstByte[Int(text[position])]
      while candidates != 0 {
        let step = starts[candidates.trailingZeroBitCount]
        if let end = endOfMatch(from: step, in: text, at: position, &deadEnds) { return position..<end }
        candidates &= candidates - 1
      }
      position = text.scalar(at: position).end
    }
    return nil
  }

  /// Replaces every match.
  ///
  /// - Parameters:
  ///   - text: Valid UTF-8.
  ///   - content: Takes the place of each match.
  /// - Returns: The text, or nil if there is no match.
  func replacingMatches(in text: Span<UInt8>, with content: [UInt8]) -> [UInt8]? {
    guard var match = firstMatch(in: text, from: 0) else { return nil }
    var result: [UInt8] = []
    result.reserveCapacity(text.count)
    var position = 0
    while true {
      for i in position..<match.lowerBound { result.append(text[i]) }
      result += content
      position = match.upperBound
      guard let next = firstMatch(in: text, from: position) else { break }
      match = next
    }
    for i in position..<text.count { result.append(text[i]) }
    return result
  }

  /// Returns the end of the match that continues with a step at an offset, or nil if there is none.
  private func endOfMatch(
    from step: Int, in text: Span<UInt8>, at start: Int, _ deadEnds: inout DeadEnds
  ) -> Int? {
    var step = step
    var position = start
    while true {
      switch steps[step] {
      case .matched: return position
      case .one(let ascii, let set, let next):
        guard let end = endOfScalar(ascii, set, in: text, at: position) else { return nil }
        position = end
        step = next
      case .many: return endOfMany(steps[step], in: text, at: position, &deadEnds)
      case .either(let first, let second):
        if let end = tryMatch(from: first, in: text, at: position, &deadEnds) { return end }
        step = second
      case .notAhead(let body, let next):
        guard endOfMatch(from: body, in: text, at: position, &deadEnds) == nil else { return nil }
        step = next
      }
    }
  }

  /// Calls `endOfMatch` for one of several ways to continue, unless it failed there before.
  private func tryMatch(
    from step: Int, in text: Span<UInt8>, at start: Int, _ deadEnds: inout DeadEnds
  ) -> Int? {
    // Whether a step leads to a match from an offset does not depend on the path to it.
    let place = start * steps.count + step
    guard !deadEnds.contains(place) else { return nil }
    if let end = endOfMatch(from: step, in: text, at: start, &deadEnds) { return end }
    deadEnds.add(place)
    return nil
  }

  private func endOfMany(
    _ step: PatternStep, in text: Span<UInt8>, at start: Int, _ deadEnds: inout DeadEnds
  ) -> Int? {
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
    if isPossessive { return endOfMatch(from: next, in: text, at: position, &deadEnds) }
    while true {
      if let end = tryMatch(from: next, in: text, at: position, &deadEnds) { return end }
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

/// The ways to continue that failed, recorded once there are more than usual expressions have.
private struct DeadEnds {
  /// The first failures, which are cheaper to repeat than to record.
  private static let freeCount = 1000
  /// Bounds the memory; a forgotten failure is only computed again.
  private static let limit = 1_000_000
  private var count = 0
  private var places: Set<Int> = []

  func contains(_ place: Int) -> Bool { count > Self.freeCount && places.contains(place) }

  mutating func add(_ place: Int) {
    count += 1
    guard count > Self.freeCount else { return }
    if places.count == Self.limit { places = [] }
    places.insert(place)
  }
}
