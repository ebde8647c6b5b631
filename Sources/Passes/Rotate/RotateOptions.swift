public import Checkpoints

/// What the rotate pass does.
public struct RotateOptions: Sendable, Equatable {
  /// A space of activations that can be rotated without changing what the model computes.
  public enum Part: String, Sendable, CaseIterable {
    /// The residual stream between layers; an output head that is the embedding becomes a tensor of its own.
    case residual
    /// The values of attention, each head by itself.
    case heads
  }

  /// What is rotated, at least one part, each once.
  public var parts: [Part]
  /// The seed of the rotations.
  public var seed: UInt64
  /// The dtype of the weights that are rotated, f32, f16 or bf16; nil keeps what they are.
  public var dtype: DType?

  /// Takes the values that differ from the defaults.
  public init(parts: [Part] = Part.allCases, seed: UInt64 = 1, dtype: DType? = nil) {
    self.parts = parts
    self.seed = seed
    self.dtype = dtype
  }
}
