import Foundation
import Models

/// Stops the program at a chosen progress, for tests that kill it or change its files at that moment.
///
/// The environment variable `RILQ_STOP_AFTER`, such as `calibrate:6`, names a phase and a number of completed
/// units. The program then stops as after SIGSTOP, and continues after SIGCONT.
enum ProgressStop {
  private static let moment = ProcessInfo.processInfo.environment["RILQ_STOP_AFTER"]

  static func stop(at progress: Models.Progress) {
    guard let moment, moment == "\(progress.phase):\(progress.completed)" else { return }
    raise(SIGSTOP)
  }
}
