import Checkpoints
import Foundation
import Models
import Synchronization

/// Shows progress on standard error: a bar with the remaining time on a terminal, otherwise lines at
/// intervals.
final class ProgressDisplay: Sendable {
  private struct State {
    var phase = ""
    var start = ContinuousClock.now
    var lastShown: ContinuousClock.Instant?
    var isBarOpen = false
  }

  private static let barWidth = 24
  private static let secondsBetweenBars = 0.1
  private static let secondsBetweenLines = 10.0
  private let isQuiet: Bool
  private let state = Mutex(State())

  init(isQuiet: Bool) { self.isQuiet = isQuiet }

  /// Shows progress if enough time has passed.
  func show(_ progress: Models.Progress) {
    ProgressStop.stop(at: progress)
    guard !isQuiet else { return }
    state.withLock { state in
      let now = ContinuousClock.now
      if progress.phase != state.phase {
        Self.closeBar(&state)
        state.phase = progress.phase
        state.start = now
        state.lastShown = nil
      }
      let interval = Terminal.isInteractive ? Self.secondsBetweenBars : Self.secondsBetweenLines
      let isLast = progress.completed >= progress.total
      if let last = state.lastShown, !isLast, (now - last).seconds < interval { return }
      // Without a terminal, the first line of a phase appears after a while, not at once.
      if !Terminal.isInteractive, state.lastShown == nil, !isLast {
        state.lastShown = now
        return
      }
      state.lastShown = now
      let line = Self.line(progress, elapsed: (now - state.start).seconds)
      if Terminal.isInteractive {
        Terminal.write("\r\u{1B}[2K" + line)
        state.isBarOpen = true
        if isLast { Self.closeBar(&state) }
      } else {
        Terminal.write(line + "\n")
      }
    }
  }

  /// Ends the bar, so that further output begins on a new line.
  func finish() { state.withLock { Self.closeBar(&$0) } }

  private static func closeBar(_ state: inout State) {
    if state.isBarOpen { Terminal.write("\n") }
    state.isBarOpen = false
  }

  private static func line(_ progress: Models.Progress, elapsed: Double) -> String {
    let total = max(progress.total, 1)
    let filled = min(progress.completed * barWidth / total, barWidth)
    let bar =
      Terminal.isInteractive
      ? "[" + String(repeating: "#", count: filled) + String(repeating: "-", count: barWidth - filled) + "] "
      : ""
    var parts = "\(progress.phase) \(bar)\(progress.completed)/\(progress.total)"
    if progress.completed > 0, progress.completed < total {
      let left = elapsed / Double(progress.completed) * Double(total - progress.completed)
      parts += ", \(Int(left.rounded(.up))) s left"
    } else if progress.completed >= total {
      parts += ", \(elapsed.formatted(decimals: 1)) s"
    }
    return progress.detail.isEmpty ? parts : parts + ", " + progress.detail.escapedForDisplay
  }
}

extension Duration {
  fileprivate var seconds: Double {
    Double(components.seconds) + Double(components.attoseconds) * 1e-18
  }
}
