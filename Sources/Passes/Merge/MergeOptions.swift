public import Checkpoints

/// The options of the merge pass.
public struct MergeOptions: PassOptionValues, AdapterTaking {
  /// Whether a dense adapter can be folded by requantizing, which is lossy.
  public var requantize = false
  /// The dtype of the merged scales and biases, f32, f16 or bf16; nil keeps their dtypes.
  public var tables: DType?
  /// The adapter to merge; nil merges the adapters and trained changes in the checkpoint.
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
    adapterDeclarations(
      "the adapters and changes in the checkpoint", "folder of a PEFT adapter to merge, see `peft.md`")
  }

  /// Rejects options of an adapter when no adapter is named.
  public func validate(_ given: GivenOptions, after previous: [PassOptions]) throws {
    try requireAdapter(given)
  }
}
