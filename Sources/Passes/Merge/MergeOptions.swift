public import Checkpoints

/// What the merge pass does.
public struct MergeOptions: Sendable, Equatable {
  /// Whether a dense adapter may be folded by requantizing, which loses something.
  public var requantize: Bool
  /// The dtype of the merged scales and biases, f32, f16 or bf16; nil keeps what they are.
  public var tables: DType?
  /// The adapter to merge; nil merges what is beside the weights.
  public var adapter: AdapterSource?

  /// Takes the values that differ from the defaults.
  public init(requantize: Bool = false, tables: DType? = nil, adapter: AdapterSource? = nil) {
    self.requantize = requantize
    self.tables = tables
    self.adapter = adapter
  }
}
