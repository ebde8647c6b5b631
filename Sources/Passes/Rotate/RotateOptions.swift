public import Checkpoints

/// The options of the rotate pass.
public struct RotateOptions: PassOptionValues {
  /// A space of activations that can be rotated without changing the model's output.
  public enum Part: String, Sendable, CaseIterable {
    /// The residual stream between layers; an output head tied to the embedding becomes a separate tensor.
    case residual
    /// The values of attention, each head on its own.
    case heads
  }

  /// The parts to rotate, at least one, distinct.
  public var parts = Part.allCases
  /// The seed of the rotations.
  public var seed: UInt64 = 1
  /// The dtype of rotated weights, f32, f16 or bf16; nil keeps their dtypes.
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
