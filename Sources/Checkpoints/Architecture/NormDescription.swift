/// A norm: its weights and what it divides by.
package struct NormDescription: Sendable, Equatable {
  /// What a token is divided by.
  package enum Kind: Sendable, Equatable {
    /// The root of the mean square. Source: RMSNorm, arXiv:1910.07467.
    case rootMeanSquare
    /// The standard deviation, after the mean is subtracted. Source: LayerNorm, arXiv:1607.06450.
    case standardDeviation
  }

  /// The weights, `[columns]`.
  package let slot: TensorSlot
  /// What a token is divided by.
  package let kind: Kind
  /// Added to each weight of the checkpoint: 1 where it stores the difference from 1.
  package let offset: Float
  /// Added to the mean square, or to the variance, before taking its root.
  package let epsilon: Float
  /// Whether the checkpoint has weights; otherwise all of them are 1.
  package let hasWeights: Bool

  /// Describes a norm.
  package init(
    _ slot: TensorSlot, kind: Kind = .rootMeanSquare, offset: Float = 0, epsilon: Float,
    hasWeights: Bool = true
  ) {
    self.slot = slot
    self.kind = kind
    self.offset = offset
    self.epsilon = epsilon
    self.hasWeights = hasWeights
  }
}

/// A norm over equal parts of some columns: of each head, or of all heads together.
package struct HeadNorm: Sendable, Equatable {
  /// The norm; its weights are as wide as one part.
  package let norm: NormDescription
  /// The columns of the matrix that it changes.
  package let columns: Range<Int>

  /// Describes a norm of some columns.
  package init(_ norm: NormDescription, columns: Range<Int>) {
    self.norm = norm
    self.columns = columns
  }

  /// The number of columns that are normalized together.
  package var width: Int { norm.slot.axes[0].size }
}
