public import Checkpoints

/// What the attach pass does.
public struct AttachOptions: PassOptionValues, AdapterTaking {
  /// The largest rank that is accepted.
  public static let rankLimit = 4096
  /// The most iterations that are accepted.
  public static let iterationLimit = 20

  /// Whether an adapter sees the input or the mean of each group; only pooled ones merge exactly.
  public var kind = AdapterParameters.Kind.pooled
  /// The rows of A, `1...rankLimit`.
  public var rank = 16
  /// The update is `alpha / rank * B * A`; positive.
  public var alpha = 16.0
  /// What A and B begin with.
  public var initialization = AdapterInitialization.zero
  /// The modules that get an adapter; nil takes all linears of the layers.
  public var targets: [ModulePattern]?
  /// The modules that get none.
  public var ignore: [ModulePattern] = []
  /// The seed of the random values in A, and of the choice of windows.
  public var seed: UInt64 = 1
  /// The text that goes through the model for the statistics of inputs, UTF-8; nil for none.
  public var text: PathOption?
  /// The windows of the text, at least 1.
  public var samples = 64
  /// The tokens a window, at least 2.
  public var length = 512
  /// How often `loftq` finds the adapter, `1...iterationLimit`; more than 1 for dense adapters only.
  ///
  /// Every time but the first the weight is rounded to nearest before, without what the adapter holds: codes and tables change.
  public var iterations = 1
  /// The original model, whose weights are approximated; nil means the input of the recipe.
  public var teacher: PathOption?
  /// How much of its alignment `atc` takes, above 0 and at most 1; the paper takes 0.1 to 0.3 on stronger quantizers than
  /// rounding to nearest.
  public var eta = 1.0
  /// The largest step down the loss that `atc` takes, of the length of its alignment, `0...1`; 0 for none.
  public var tau = 0.1
  /// An adapter whose values, kind, rank, alpha and modules are taken; nil makes a new one.
  public var adapter: AdapterSource?

  /// Whether the weights are rounded again, so that codes and tables change.
  var roundsAgain: Bool { initialization == .loftq && iterations > 1 }

  /// Every option has its default.
  public init() {}
}
