public import Checkpoints

/// What the merge pass does.
public struct MergeOptions: PassOptionValues, AdapterTaking {
  /// Whether a dense adapter may be folded by requantizing, which loses something.
  public var requantize = false
  /// The dtype of the merged scales and biases, f32, f16 or bf16; nil keeps what they are.
  public var tables: DType?
  /// The adapter to merge; nil merges what is beside the weights.
  public var adapter: AdapterSource?

  /// Every option has its default.
  public init() {}

  /// Every option, in the order in which it is written.
  @PassOptionTable<Self> public static var declarations: [PassOption<Self>] {
    Option(
      "requantize", \.requantize, .toggle,
      "folds dense adapters into packed weights by quantizing again, which is lossy")
    Option("tables", \.tables, .floatType, "dtype of the merged scales and biases")
      .byDefault("as they are")
    adapterDeclarations("what is beside the weights", "folder of a PEFT adapter to merge, see `peft.md`")
  }

  /// Refuses what says something of an adapter that is not named.
  public func validate(_ given: GivenOptions, after previous: [PassOptions]) throws {
    try requireAdapter(given)
  }
}
