/// How a pre-tokenizer cuts text around the matches of a pattern.
struct SplitRule: Sendable {
  /// What happens to a match, named as in `tokenizer.json`.
  enum Behavior: String, CaseIterable {
    case isolated = "Isolated"
    case removed = "Removed"
    case mergedWithPrevious = "MergedWithPrevious"
    case mergedWithNext = "MergedWithNext"
    case contiguous = "Contiguous"
  }

  /// The pattern to match.
  let pattern: Pattern
  /// What happens to the matches.
  let behavior: Behavior
  /// Whether matches and the text between them are exchanged.
  let isInverted: Bool

  /// Calls `body` with each piece, in order; pieces are not empty.
  ///
  /// - Parameters:
  ///   - text: Valid UTF-8.
  ///   - body: Receives the offsets of a piece.
  func forEachPiece(of text: Span<UInt8>, _ body: (Range<Int>) -> Void) {
    var merger = PieceMerger(behavior: behavior)
    var position = 0
    while let match = pattern.firstMatch(in: text, from: position) {
      if position < match.lowerBound {
        merger.add(position..<match.lowerBound, isMatch: isInverted, body)
      }
      merger.add(match, isMatch: !isInverted, body)
      position = match.upperBound
    }
    if position < text.count { merger.add(position..<text.count, isMatch: isInverted, body) }
    merger.finish(body)
  }
}

/// Joins matches with their neighbours; keeps one piece until it is known to be whole.
private struct PieceMerger {
  let behavior: SplitRule.Behavior
  private var held: Range<Int>?
  private var endsWithMatch = false

  init(behavior: SplitRule.Behavior) { self.behavior = behavior }

  mutating func add(_ piece: Range<Int>, isMatch: Bool, _ body: (Range<Int>) -> Void) {
    switch behavior {
    case .isolated: body(piece)
    case .removed: if !isMatch { body(piece) }
    case .mergedWithPrevious: hold(piece, joining: isMatch && !endsWithMatch, body)
    case .mergedWithNext: hold(piece, joining: !isMatch && endsWithMatch, body)
    case .contiguous: hold(piece, joining: isMatch == endsWithMatch, body)
    }
    endsWithMatch = isMatch
  }

  mutating func finish(_ body: (Range<Int>) -> Void) {
    if let held { body(held) }
    held = nil
  }

  private mutating func hold(_ piece: Range<Int>, joining: Bool, _ body: (Range<Int>) -> Void) {
    if joining, let start = held?.lowerBound {
      held = start..<piece.upperBound
    } else {
      finish(body)
      held = piece
    }
  }
}
