/// A dimension of a model's tensors, whose size the configuration gives.
package enum ModelAxis: Sendable, Equatable {
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
}

extension ModelConfiguration {
  /// The size of a dimension.
  package func size(of axis: ModelAxis) -> Int {
    switch axis {
    case .vocabulary: vocabularySize
    case .stream: hiddenSize
    case .queries, .attended: headCount * headSize
    case .keys, .values: keyValueHeadCount * headSize
    case .feedForward: intermediateSize
    }
  }

  /// The number of heads in a dimension, or nil when it has none.
  package func headCount(of axis: ModelAxis) -> Int? {
    switch axis {
    case .queries, .attended: headCount
    case .keys, .values: keyValueHeadCount
    case .vocabulary, .stream, .feedForward: nil
    }
  }
}
