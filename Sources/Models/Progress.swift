import Foundation

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

/// Called now and then with how far a computation is.
public typealias ProgressHandler = (Progress) -> Void

extension Double {
  /// The number with a fixed count of decimals.
  package func formatted(decimals: Int) -> String { String(format: "%.\(decimals)f", self) }
}
