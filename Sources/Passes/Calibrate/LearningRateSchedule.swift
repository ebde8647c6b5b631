import Foundation

/// The course of the learning rate over the updates.
public enum LearningRateShape: String, Sendable, CaseIterable {
  /// Constant, as in the paper.
  case constant
  /// Falls linearly to zero.
  case linear
  /// Falls to zero along half a cosine. Source: SGDR, arXiv:1608.03983, without restarts.
  case cosine
}

/// The learning rate of every update.
package struct LearningRateSchedule: Sendable {
  private let peak: Double
  private let shape: LearningRateShape
  private let warmup: Int
  private let updates: Int

  /// - Parameters:
  ///   - peak: The largest rate.
  ///   - shape: The course after the warm-up.
  ///   - warmup: The number of updates over which the rate rises linearly, at most `updates`.
  ///   - updates: The total number of updates.
  package init(peak: Double, shape: LearningRateShape = .constant, warmup: Int = 0, updates: Int = 1) {
    self.peak = peak
    self.shape = shape
    self.warmup = warmup
    self.updates = updates
  }

  /// Returns the rate of an update, counted from 1.
  package func rate(of update: Int) -> Double {
    guard update > warmup else { return peak * Double(update) / Double(warmup + 1) }
    // The rate of the last update is still above zero.
    let passed = Double(update - 1 - warmup) / Double(max(updates - warmup, 1))
    switch shape {
    case .constant: return peak
    case .linear: return peak * max(1 - passed, 0)
    case .cosine: return peak * (1 + cos(.pi * min(passed, 1))) / 2
    }
  }
}
