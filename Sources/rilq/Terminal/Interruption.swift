import Checkpoints
import Dispatch
import Foundation
import Synchronization

/// Ends the program on SIGINT, SIGTERM and SIGHUP, with nothing left behind but the steps that are to be kept.
enum Interruption {
  private static let exitCode: Int32 = 130
  nonisolated(unsafe) private static var sources: [any DispatchSourceSignal] = []
  private static let hasBegun = Atomic<Bool>(false)

  /// Keeps a thread whose work failed from ending the program while an interruption does.
  ///
  /// The files that the interruption removes may be what the work then misses.
  static func waitIfBegun() {
    if hasBegun.load(ordering: .acquiring) { waitForEnd() }
  }

  private static func waitForEnd() -> Never {
    while true { sleep(1) }
  }

  /// Starts to listen; called once, before any work.
  static func install() {
    // A file that grows beyond `ulimit -f` is an error of the write, as a full disk is.
    signal(SIGXFSZ, SIG_IGN)
    installBusErrorMessage()
    for number in [SIGINT, SIGTERM, SIGHUP] {
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global(qos: .userInteractive))
      source.setEventHandler {
        hasBegun.store(true, ordering: .releasing)
        let isKept = OutputWorkspace.discardAll { waitForEnd() }
        Terminal.write("\n")
        Terminal.writeError(
          "interrupted; nothing is written" + (isKept ? ", finished steps are kept for --resume" : ""))
        // Without the handlers of a normal exit: other threads still work on what they would tear down.
        _exit(exitCode)
      }
      source.resume()
      unsafe sources.append(source)
    }
  }

  /// Says what a SIGBUS is: the only way in which a mapped file can fail.
  private static func installBusErrorMessage() {
    signal(SIGBUS) { _ in
      let message: StaticString =
        "rilq: a mapped file was shortened or could not be read; with --no-mmap the message is exact\n"
      // Only what a signal handler may do: no allocation, no exit handlers.
      _ = unsafe write(STDERR_FILENO, message.utf8Start, message.utf8CodeUnitCount)
      _exit(4)
    }
  }
}
