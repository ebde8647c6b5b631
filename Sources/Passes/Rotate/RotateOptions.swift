public import Checkpoints

/// What the rotate pass does.
public struct RotateOptions: PassOptionValues {
  /// A space of activations that can be rotated without changing what the model computes.
  public enum Part: String, Sendable, CaseIterable {
    /// The residual stream between layers; an output head that is the embedding becomes a tensor of its own.
    case residual
    /// The values of attention, each head by itself.
    case heads
  }

  /// What is rotated, at least one part, each once.
  public var parts = Part.allCases
  /// The seed of the rotations.
  public var seed: UInt64 = 1
  /// The dtype of the weights that are rotated, f32, f16 or bf16; nil keeps what they are.
  public var dtype: DType?

  /// Every option has its default.
  public init() {}

  /// Every option, in the order in which it is written.
  @PassOptionTable<Self> public static var declarations: [PassOption<Self>] {
    Option(
      "parts", \.parts, .words(elseDoing: "rotates nothing"),
      "what is rotated: the residual stream, the values of attention heads"
    ).byDefault("both")
    Option("seed", \.seed, .seed, "seed of the rotations")
    Option(
      "dtype", \.dtype, .floatType, "dtype of the rotated weights, which are rounded to it once"
    ).byDefault("as they are")
  }
}
