/// A regular expression as a tree.
indirect enum PatternNode {
  /// One scalar of a set.
  case set(ScalarSet)
  case sequence([PatternNode])
  /// The first node after which the rest matches.
  case alternatives([PatternNode])
  case repetition(PatternNode, Repetition)
  /// Negative lookahead: succeeds without consuming input.
  case notAhead(PatternNode)

  /// The number of times that a node is repeated; the highest is tried first.
  struct Repetition {
    var minimum: Int
    var maximum: Int
    /// Whether repetitions are never given back by backtracking.
    var isPossessive = false
  }

  /// Whether the node contains a set of scalars at any depth.
  var hasSets: Bool {
    switch self {
    case .set: true
    case .sequence(let nodes), .alternatives(let nodes): nodes.contains(where: \.hasSets)
    case .repetition(let node, _), .notAhead(let node): node.hasSets
    }
  }

  /// Whether the node can match the empty text.
  var matchesEmpty: Bool {
    switch self {
    case .set: false
    case .sequence(let nodes): nodes.allSatisfy(\.matchesEmpty)
    case .alternatives(let nodes): nodes.contains(where: \.matchesEmpty)
    case .repetition(let node, let repetition): repetition.minimum == 0 || node.matchesEmpty
    case .notAhead: true
    }
  }
}

/// The reason why a regular expression is rejected.
struct PatternError: Error, Equatable {
  /// The reason as a phrase.
  let reason: String
}
