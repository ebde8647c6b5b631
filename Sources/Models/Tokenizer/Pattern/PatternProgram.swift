/// One step of a compiled regular expression; steps refer to the next one by its index.
enum PatternStep {
  /// The expression has matched.
  case matched
  /// One scalar of a set.
  case one(ASCIISet, set: Int, next: Int)
  /// Scalars of a set, as many as possible; backtracking reduces their number.
  case many(ASCIISet, set: Int, minimum: Int, maximum: Int, isPossessive: Bool, next: Int)
  /// The first step if the match can be completed from it, otherwise the second step.
  case either(Int, Int)
  /// Continues at the next step unless the body matches.
  case notAhead(body: Int, next: Int)
}

/// The steps of a regular expression, each stored after the steps that it leads to; step 0 is `matched`.
struct PatternProgram {
  /// Bounds the recursion depth of matching, so that every thread's stack suffices.
  private static let stepLimit = 512

  private(set) var steps: [PatternStep] = [.matched]
  /// The sets that steps refer to.
  private(set) var sets: [ScalarSet] = []
  /// The first step of each alternative of the whole expression, in order.
  private(set) var starts: [Int] = []

  /// Compiles a tree.
  ///
  /// - Throws: `PatternError` when a group repeats without bound, or the unrolled groups are too long.
  init(_ node: PatternNode) throws(PatternError) {
    if case .alternatives(let nodes) = node, nodes.count <= 64 {
      for alternative in nodes { starts.append(try add(alternative, next: 0)) }
    } else {
      starts = [try add(node, next: 0)]
    }
  }

  private mutating func append(_ step: PatternStep) throws(PatternError) -> Int {
    guard steps.count < Self.stepLimit else {
      throw PatternError(reason: "the regular expression has more than \(Self.stepLimit) steps")
    }
    steps.append(step)
    return steps.count - 1
  }

  /// Adds the steps of a node.
  ///
  /// - Returns: The first of the added steps.
  private mutating func add(_ node: PatternNode, next: Int) throws(PatternError) -> Int {
    switch node {
    case .set(let set):
      sets.append(set)
      return try append(.one(set.ascii, set: sets.count - 1, next: next))
    case .sequence(let nodes):
      var next = next
      for node in nodes.reversed() { next = try add(node, next: next) }
      return next
    case .alternatives(let nodes):
      var starts: [Int] = []
      for node in nodes { starts.append(try add(node, next: next)) }
      var start = starts.removeLast()
      for first in starts.reversed() { start = try append(.either(first, start)) }
      return start
    case .notAhead(let body):
      return try append(.notAhead(body: try add(body, next: 0), next: next))
    case .repetition(.set(let set), let repetition):
      sets.append(set)
      return try append(
        .many(
          set.ascii, set: sets.count - 1, minimum: repetition.minimum, maximum: repetition.maximum,
          isPossessive: repetition.isPossessive, next: next))
    case .repetition(let body, let repetition):
      return try add(body, repetition, next: next)
    }
  }

  /// Adds the steps of a repeated group, once per possible repetition.
  private mutating func add(
    _ body: PatternNode, _ repetition: PatternNode.Repetition, next: Int
  ) throws(PatternError) -> Int {
    guard repetition.maximum < .max, !repetition.isPossessive else {
      throw PatternError(reason: "a regular expression that repeats a group without bound is not supported")
    }
    // Without this check, nested repetitions of empty groups would multiply without reaching the limit of
    // steps.
    guard body.hasSets else {
      throw PatternError(reason: "a regular expression that repeats nothing is not supported")
    }
    var start = next
    for _ in repetition.minimum..<repetition.maximum {
      start = try append(.either(try add(body, next: start), next))
    }
    for _ in 0..<repetition.minimum { start = try add(body, next: start) }
    return start
  }

  /// Returns, for each first byte of a match, the alternatives that can match: bit `i` for `starts[i]`.
  func alternativesByFirstByte() -> [UInt64] {
    var first: [ASCIISet] = []
    for step in steps {
      switch step {
      case .matched: first.append(.all)
      case .one(let set, _, _): first.append(set)
      case .many(let set, _, let minimum, _, _, let next):
        first.append(minimum == 0 ? set.union(first[next]) : set)
      case .either(let one, let other): first.append(first[one].union(first[other]))
      case .notAhead(_, let next): first.append(first[next])
      }
    }
    return (0..<256).map { byte in
      starts.enumerated().reduce(into: 0) { mask, start in
        if byte >= 0x80 || first[start.element].contains(UInt8(byte)) { mask |= 1 << UInt64(start.offset) }
      }
    }
  }
}
