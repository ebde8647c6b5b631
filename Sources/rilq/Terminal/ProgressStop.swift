import Foundation
import Models

/// Stops the program at a moment of its progress, for tests that kill it or change its files there.
///
/// The environment variable `RILQ_STOP_AFTER`, such as `calibrate:6`, names a phase and what is completed of it. The
/// program then stops as by SIGSTOP, and goes on after SIGCONT.
enum ProgressStop {
  private static let moment = ProcessInfo.processInfo.environment["RILQ_STOP_AFTER"]

  static func stop(at progress: Models.Progress) {
    guard let moment, moment == "\(progress.phase):\(progress.completed)" else { return }
    raise(SIGSTOP)
  }
}
