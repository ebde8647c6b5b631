import ArgumentParser
import Checkpoints
import Foundation
import Kernels
import Models
import Passes

/// The program: a list of commands, and what becomes of their errors.
@main
struct Rilq: ParsableCommand {
  /// Recorded in every output.
  static let version = "0.1.0"

  static let configuration = CommandConfiguration(
    commandName: "rilq",
    abstract: "Turn a language-model checkpoint into a 2-bit one that still works, and prove it.",
    discussion: """
      Exit codes: 0 done; 1 a check failed; 2 an input is malformed or not supported; 3 the result cannot be \
      represented exactly; 4 reading or writing failed; 64 wrong usage or recipe; 130 interrupted.
      """,
    version: version,
    subcommands: [
      Convert.self, Rotate.self, Quantize.self, Attach.self, Calibrate.self, Merge.self, Verify.self,
      Eval.self, Generate.self, Inspect.self, Analyze.self, Plot.self, Diff.self, Hash.self,
      Tokenize.self,
    ])

  static func main() {
    do {
      var command = try parseAsRoot()
      Interruption.install()
      ProcessMemory.keepFreedMemory()
      try command.run()
    } catch let error as any CommandFailure {
      Interruption.waitIfBegun()
      Terminal.writeError(error.oneLine)
      Foundation.exit(error.exitCode)
    } catch {
      exit(withError: error)
    }
  }
}

/// An error that a command can end with: one line and an exit code.
private protocol CommandFailure: Error {
  var oneLine: String { get }
  var exitCode: Int32 { get }
}

extension FormatError: CommandFailure {
  fileprivate var oneLine: String { description }

  fileprivate var exitCode: Int32 {
    switch problem {
    case .system, .exists, .notFound: 4
    case .notExact: 3
    case .malformed, .truncated, .unsupported, .unsupportedKind, .shape, .missing, .checksum: 2
    }
  }
}

extension ModelError: CommandFailure {
  fileprivate var oneLine: String { description }
  fileprivate var exitCode: Int32 { 2 }
}

extension PassError: CommandFailure {
  fileprivate var oneLine: String { description }
}
