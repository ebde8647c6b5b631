import Checkpoints
import Dispatch
import Foundation
import Synchronization

/// Ends the program on SIGINT, SIGTERM and SIGHUP and removes its files, except for finished steps.
enum Interruption {
  private static let exitCode: Int32 = 130
  nonisolated(unsafe) private static var sources: [any DispatchSourceSignal] = []
  private static let hasBegun = Atomic<Bool>(false)

  /// Blocks a failed thread while an interruption ends the program, so that the thread does not end it first.
  ///
  /// The thread may have failed because the interruption removed its files.
  static func waitIfBegun() {
    if hasBegun.load(ordering: .acquiring) { waitForEnd() }
  }

  private static func waitForEnd() -> Never {
    while true { sleep(1) }
  }

  /// Installs the handlers; called once, before any work.
  static func install() {
    // A file that exceeds `ulimit -f` then fails with a write error, like a full disk.
    signal(SIGXFSZ, SIG_IGN)
    installBusErrorMessage()
    for number in [SIGINT, SIGTERM, SIGHUP] {
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global(qos: .userInteractive))
      source.setEventHandler {
        hasBegun.store(true, ordering: .releasing)
        let isKept = OutputWorkspace.discardAll { waitForEnd() }
        if ProcessJob.isFirst {
          Terminal.write("\n")
          Terminal.writeError(
            "interrupted; nothing is written" + (isKept ? ", finished steps are kept for --resume" : ""))
        }
        // Skips the normal exit handlers: they would tear down what other threads still use.
        _exit(exitCode)
      }
      source.resume()
      unsafe sources.append(source)
    }
  }

  /// Prints the cause of a SIGBUS, which is how a mapped file fails.
  private static func installBusErrorMessage() {
    signal(SIGBUS) { _ in
      let message: StaticString =
        "rilq: a mapped file was shortened or could not be read; with --no-mmap the message is exact\n"
      // Restricted to what a signal handler can do: no allocation, no exit handlers.
      _ = unsafe write(STDERR_FILENO, message.utf8Start, message.utf8CodeUnitCount)
      _exit(4)
    }
  }
}
