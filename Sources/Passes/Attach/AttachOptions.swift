public import Checkpoints

/// The options of the attach pass.
public struct AttachOptions: PassOptionValues, AdapterTaking {
  /// The largest accepted rank.
  public static let rankLimit = 4096
  /// The largest accepted number of iterations.
  public static let iterationLimit = 20

  /// Whether adapters read the input or the mean of each group; only pooled ones merge exactly.
  public var kind = AdapterParameters.Kind.pooled
  /// The number of rows of A, `1...rankLimit`.
  public var rank = 16
  /// The update is `alpha / rank * B * A`; positive.
  public var alpha = 16.0
  /// The initial values of A and B.
  public var initialization = AdapterInitialization.zero
  /// The modules that get an adapter; nil selects all linears of the layers.
  public var targets: [ModulePattern]?
  /// The modules that get no adapter.
  public var ignore: [ModulePattern] = []
  /// The seed of the random values in A, and of the choice of windows.
  public var seed: UInt64 = 1
  /// The UTF-8 text that is run through the model for the statistics of inputs; nil for none.
  public var text: PathOption?
  /// The number of windows of the text, at least 1.
  public var samples = 64
  /// The number of tokens per window, at least 2.
  public var length = 512
  /// The iterations of `loftq`, `1...iterationLimit`; more than 1 for dense adapters only.
  ///
  /// Each iteration after the first rounds the weight to nearest, less the adapter's product, which changes
  /// codes and tables.
  public var iterations = 1
  /// The original model, whose weights are approximated; nil selects the recipe's input.
  public var teacher: PathOption?
  /// The share of its alignment that `atc` applies, above 0 and at most 1.
  ///
  /// The paper uses 0.1 to 0.3 with quantizers stronger than round to nearest.
  public var eta = 1.0
  /// The maximum step of `atc` down the loss, relative to the length of its alignment, `0...1`; 0 for no
  /// step.
  public var tau = 0.1
  /// An adapter to copy values, kind, rank, alpha and modules from; nil makes a new adapter.
  public var adapter: AdapterSource?

  /// Whether weights are rounded again, which changes codes and tables.
  var roundsAgain: Bool { initialization == .loftq && iterations > 1 }

  /// Every option has its default.
  public init() {}
}
