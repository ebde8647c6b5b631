/// A dimension of a model's tensors.
package struct ModelAxis: Sendable, Equatable {
  /// What the elements along the dimension stand for.
  package enum Kind: Sendable, Equatable {
    /// The tokens.
    case vocabulary
    /// The residual stream.
    case stream
    /// The queries of all heads.
    case queries
    /// The keys of all key and value heads.
    case keys
    /// The values of all key and value heads.
    case values
    /// The output of attention: the weighted values of all heads.
    case attended
    /// The inside of the feed-forward part.
    case feedForward
    /// The columns of one head.
    case head
    /// Several dimensions one after the other.
    case joined
    /// Something that only its family knows.
    case other
  }

  /// What the elements stand for.
  package let kind: Kind
  /// The number of elements.
  package let size: Int
  /// The number of heads, or nil when there are none.
  package let headCount: Int?
  /// The dimensions that are joined, in order; empty for any other kind.
  package let parts: [ModelAxis]

  /// Describes a dimension.
  package init(_ kind: Kind, _ size: Int, headCount: Int? = nil, parts: [ModelAxis] = []) {
    self.kind = kind
    self.size = size
    self.headCount = headCount
    self.parts = parts
  }

  /// The width of a head, or nil when there are none.
  package var headSize: Int? { headCount.map { size / $0 } }
}

extension ModelAxis {
  /// Several dimensions one after the other.
  package static func joined(_ parts: [ModelAxis]) -> ModelAxis {
    ModelAxis(.joined, parts.reduce(0) { $0 + $1.size }, parts: parts)
  }

  /// The queries of a layer's attention.
  package static func queries(_ attention: AttentionDescription) -> ModelAxis {
    ModelAxis(.queries, attention.queryWidth, headCount: attention.headCount)
  }

  /// The keys of a layer's attention.
  package static func keys(_ attention: AttentionDescription) -> ModelAxis {
    ModelAxis(.keys, attention.keyValueWidth, headCount: attention.keyValueHeadCount)
  }

  /// The values of a layer's attention.
  package static func values(_ attention: AttentionDescription) -> ModelAxis {
    ModelAxis(.values, attention.keyValueWidth, headCount: attention.keyValueHeadCount)
  }

  /// The output of a layer's attention.
  package static func attended(_ attention: AttentionDescription) -> ModelAxis {
    ModelAxis(.attended, attention.queryWidth, headCount: attention.headCount)
  }
}
