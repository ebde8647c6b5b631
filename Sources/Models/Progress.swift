import Foundation

/// The progress of a long computation.
public struct Progress: Sendable {
  /// The name of the computation: `calibrate`, `evaluate`.
  public let phase: String
  /// The number of units done.
  public let completed: Int
  /// The total number of units.
  public let total: Int
  /// Text shown beside the bar, such as losses or tokens per second.
  public let detail: String

  /// Describes the progress at one moment.
  public init(phase: String, completed: Int, total: Int, detail: String = "") {
    self.phase = phase
    self.completed = completed
    self.total = total
    self.detail = detail
  }
}

/// Called from time to time with the progress of a computation.
public typealias ProgressHandler = (Progress) -> Void

extension Double {
  /// Returns the number with a fixed count of decimals.
  package func formatted(decimals: Int) -> String { String(format: "%.\(decimals)f", self) }
}
