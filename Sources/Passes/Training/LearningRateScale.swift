/// The learning rate of each trained part, relative to the schedule's.
public struct LearningRateScale: Sendable, Equatable {
  /// The scale for the factors of adapters.
  public var adapter = 1.0
  /// The scale for biases, in units of the step.
  public var bias = 1.0
  /// The scale for scales, in units of the step.
  public var scale = 1.0
  /// The scale for codes, in units of the step.
  public var code = 1.0

  /// Creates equal scales for all parts.
  public init() {}
}
