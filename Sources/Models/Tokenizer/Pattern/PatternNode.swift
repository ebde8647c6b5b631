/// A regular expression as a tree.
indirect enum PatternNode {
  /// One scalar of a set.
  case set(ScalarSet)
  case sequence([PatternNode])
  /// The first that lets the rest match.
  case alternatives([PatternNode])
  case repetition(PatternNode, Repetition)
  /// Nothing, where the node does not match.
  case notAhead(PatternNode)

  /// How often a node is repeated; as often as possible first.
  struct Repetition {
    var minimum: Int
    var maximum: Int
    /// Whether no repetition is given back.
    var isPossessive = false
  }

  /// Whether there is a set of scalars anywhere in the node.
  var hasSets: Bool {
    switch self {
    case .set: true
    case .sequence(let nodes), .alternatives(let nodes): nodes.contains(where: \.hasSets)
    case .repetition(let node, _), .notAhead(let node): node.hasSets
    }
  }

  /// Whether the node can match without a scalar.
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

/// Why a regular expression is refused.
struct PatternError: Error, Equatable {
  /// The reason as a phrase.
  let reason: String
}
