public import Checkpoints

/// What the attach pass does.
public struct AttachOptions: Sendable, Equatable {
  /// The largest rank that is accepted.
  public static let rankLimit = 4096
  /// The most iterations that are accepted.
  public static let iterationLimit = 20

  /// Whether an adapter sees the input or the mean of each group; only pooled ones merge exactly.
  public var kind: AdapterParameters.Kind
  /// The rows of A, `1...rankLimit`.
  public var rank: Int
  /// The update is `alpha / rank * B * A`; positive.
  public var alpha: Double
  /// What A and B begin with.
  public var initialization: AdapterInitialization
  /// The modules that get an adapter; nil takes all linears of the layers.
  public var targets: [ModulePattern]?
  /// The modules that get none.
  public var ignore: [ModulePattern]
  /// The seed of the random values in A, and of the choice of windows.
  public var seed: UInt64
  /// The text that goes through the model for the statistics of inputs, UTF-8; nil for none.
  public var text: PathOption?
  /// The windows of the text, at least 1.
  public var samples: Int
  /// The tokens a window, at least 2.
  public var length: Int
  /// How often `loftq` finds the adapter, `1...iterationLimit`; more than 1 for dense adapters only.
  ///
  /// Every time but the first the weight is rounded to nearest before, without what the adapter holds: codes and tables change.
  public var iterations: Int
  /// The original model, whose weights are approximated; nil means the input of the recipe.
  public var teacher: PathOption?
  /// How much of its alignment `atc` takes, above 0 and at most 1; the paper takes 0.1 to 0.3 on stronger quantizers than
  /// rounding to nearest.
  public var eta: Double
  /// The largest step down the loss that `atc` takes, of the length of its alignment, `0...1`; 0 for none.
  public var tau: Double
  /// An adapter whose values, kind, rank, alpha and modules are taken; nil makes a new one.
  public var adapter: AdapterSource?

  /// Whether the weights are rounded again, so that codes and tables change.
  var roundsAgain: Bool { initialization == .loftq && iterations > 1 }

  /// Takes the values that differ from the defaults.
  public init(
    kind: AdapterParameters.Kind = .pooled, rank: Int = 16, alpha: Double = 16,
    initialization: AdapterInitialization = .zero, targets: [ModulePattern]? = nil,
    ignore: [ModulePattern] = [], seed: UInt64 = 1, text: PathOption? = nil, samples: Int = 64,
    length: Int = 512, iterations: Int = 1, teacher: PathOption? = nil, eta: Double = 1, tau: Double = 0.1,
    adapter: AdapterSource? = nil
  ) {
    self.kind = kind
    self.rank = rank
    self.alpha = alpha
    self.initialization = initialization
    self.targets = targets
    self.ignore = ignore
    self.seed = seed
    self.text = text
    self.samples = samples
    self.length = length
    self.iterations = iterations
    self.teacher = teacher
    self.eta = eta
    self.tau = tau
    self.adapter = adapter
  }
}
