public import Checkpoints

/// What the attach pass does.
public struct AttachOptions: Sendable, Equatable {
  /// The largest rank that is accepted.
  public static let rankLimit = 4096

  /// Whether an adapter sees the input or the mean of each group; only pooled ones merge exactly.
  public var kind: AdapterParameters.Kind
  /// The rows of A, `1...rankLimit`.
  public var rank: Int
  /// The update is `alpha / rank * B * A`; positive.
  public var alpha: Double
  /// The modules that get an adapter; nil takes all linears of the layers.
  public var targets: [ModulePattern]?
  /// The modules that get none.
  public var ignore: [ModulePattern]
  /// The seed of the random values in A; B begins with zeros.
  public var seed: UInt64
  /// An adapter whose values, kind, rank, alpha and modules are taken; nil makes a new one.
  public var adapter: AdapterSource?

  /// Takes the values that differ from the defaults.
  public init(
    kind: AdapterParameters.Kind = .pooled, rank: Int = 16, alpha: Double = 16,
    targets: [ModulePattern]? = nil, ignore: [ModulePattern] = [], seed: UInt64 = 1,
    adapter: AdapterSource? = nil
  ) {
    self.kind = kind
    self.rank = rank
    self.alpha = alpha
    self.targets = targets
    self.ignore = ignore
    self.seed = seed
    self.adapter = adapter
  }
}
