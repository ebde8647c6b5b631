/// How far a long computation is.
public struct Progress: Sendable {
  /// What is being done: `calibrate`, `evaluate`.
  public let phase: String
  /// The units done.
  public let completed: Int
  /// The units in all.
  public let total: Int
  /// What a reader wants to see beside the bar: losses, tokens per second.
  public let detail: String

  /// Describes a moment.
  public init(phase: String, completed: Int, total: Int, detail: String = "") {
    self.phase = phase
    self.completed = completed
    self.total = total
    self.detail = detail
  }
}

/// Is told now and then how far a computation is.
public typealias ProgressHandler = (Progress) -> Void
