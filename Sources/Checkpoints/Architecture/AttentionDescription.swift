/// The attention of one layer: its heads, and which keys a query sees with which score.
package struct AttentionDescription: Sendable, Equatable {
  /// The number of query heads.
  package let headCount: Int
  /// The number of key and value heads; divides `headCount`.
  package let keyValueHeadCount: Int
  /// The width of a head; even.
  package let headSize: Int
  /// The factor of the products of queries and keys.
  package var scale: Float
  /// The bound `c` of the scores, which become `c · tanh(score / c)` before the mask; nil without one.
  package var scoreCap: Float?
  /// The number of keys that a query sees, its own included; nil for all of them.
  package var window: Int?
  /// One more score per query head, `[heads]`, which takes its share of the softmax and has no value; nil
  /// without one.
  package var sinks: TensorSlot?
  /// Whether its keys and values are those of another layer, or another layer reads them; nil if neither.
  package var sharing: KeySharing?
  /// Whether the result is multiplied by the sigmoid of a gate, which follows the values and is as wide as
  /// the queries.
  package var isGated = false

  /// Describes attention whose scores are `q · k / sqrt(headSize)`.
  package init(headCount: Int, keyValueHeadCount: Int, headSize: Int) {
    self.headCount = headCount
    self.keyValueHeadCount = keyValueHeadCount
    self.headSize = headSize
    scale = 1 / Float(headSize).squareRoot()
  }

  /// Whether it has queries only, and reads the keys and values of another layer.
  package var borrowsKeys: Bool { if case .borrows = sharing { true } else { false } }
  /// The width of the queries, and of the result.
  package var queryWidth: Int { headCount * headSize }
  /// The width of the keys, and of the values.
  package var keyValueWidth: Int { keyValueHeadCount * headSize }
  /// The width of queries, keys and values side by side.
  package var inputWidth: Int { queryWidth + 2 * keyValueWidth }
  /// The columns of the keys and values, which follow the queries.
  package var keyValueColumns: Range<Int> { queryWidth..<inputWidth }
}

/// The keys and values that several layers have in common.
package enum KeySharing: Sendable, Equatable {
  /// Later layers read the keys and values of this layer, whose index is given.
  case lends(Int)
  /// The layer has queries only and reads the keys and values of the layer with this index; the last layer
  /// that does so may release them.
  case borrows(Int, isLast: Bool)
}

/// How the queries and keys of one layer turn with their positions.
package struct RotaryDescription: Sendable, Equatable {
  /// The columns of a head that turn together.
  package enum Pairing: Sendable, Equatable {
    /// Column `i` and column `i + turnedCount / 2`.
    case halves
    /// Columns `2i` and `2i + 1`.
    case neighbours
  }

  /// The growth of queries with their position: times `1 + beta · ln(1 + floor(position / context))`.
  package struct QueryGrowth: Sendable, Equatable {
    /// The factor of the logarithm.
    package let beta: Double
    /// The number of positions without growth.
    package let context: Int

    /// Joins a factor and a context.
    package init(beta: Double, context: Int) {
      self.beta = beta
      self.context = context
    }
  }

  /// The number of query heads, which come first.
  package let queryHeadCount: Int
  /// The number of key heads, which follow the queries.
  package let keyHeadCount: Int
  /// The width of a head.
  package let headSize: Int
  /// The number of columns of each head that turn, from its first column on; even.
  package let turnedCount: Int
  /// The columns that turn together.
  package var pairing = Pairing.halves
  /// The wavelengths.
  package var parameters: RotaryParameters
  /// The growth of the queries, if any.
  package var queryGrowth: QueryGrowth?

  /// Describes heads that turn as a whole, or up to a column.
  package init(_ attention: AttentionDescription, turnedCount: Int? = nil, parameters: RotaryParameters) {
    queryHeadCount = attention.headCount
    keyHeadCount = attention.keyValueHeadCount
    headSize = attention.headSize
    self.turnedCount = turnedCount ?? attention.headSize
    self.parameters = parameters
  }
}
