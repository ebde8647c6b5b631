/// The learning rate of each part that is trained, as a share of the schedule's.
public struct LearningRateScale: Sendable, Equatable {
  /// For the factors of adapters.
  public var adapter = 1.0
  /// For biases, in units of the step.
  public var bias = 1.0
  /// For scales, in units of the step.
  public var scale = 1.0
  /// For codes, in units of the step.
  public var code = 1.0

  /// All the same.
  public init() {}
}
