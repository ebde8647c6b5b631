import Checkpoints
import Dispatch
import Foundation

/// Ends the program on SIGINT, SIGTERM and SIGHUP, with nothing left behind.
enum Interruption {
  private static let exitCode: Int32 = 130
  nonisolated(unsafe) private static var sources: [any DispatchSourceSignal] = []

  /// Starts to listen; called once, before any work.
  static func install() {
    for number in [SIGINT, SIGTERM, SIGHUP] {
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global(qos: .userInteractive))
      source.setEventHandler {
        OutputWorkspace.discardAll()
        Terminal.write("\n")
        Terminal.writeError("interrupted; nothing is written")
        // Without the handlers of a normal exit: other threads still work on what they would tear down.
        _exit(exitCode)
      }
      source.resume()
      unsafe sources.append(source)
    }
  }
}
