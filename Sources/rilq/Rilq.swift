import ArgumentParser
import Checkpoints
import Foundation
import Kernels
import Models
import Passes

/// The program: the list of commands and the handling of their errors.
@main
struct Rilq: ParsableCommand {
  /// The version, which every output records.
  static let version = Pipeline.version

  static let configuration = CommandConfiguration(
    commandName: "rilq",
    abstract: "Turn a language-model checkpoint into a 2-bit one that still works, and prove it.",
    discussion: """
      Exit codes: 0 done; 1 a check failed; 2 an input is malformed or not supported; 3 the result cannot be \
      represented exactly; 4 reading or writing failed; 64 wrong usage or recipe; 130 interrupted.
      """,
    version: version,
    subcommands: [Convert.self, RecipeList.self] + PassCommands.of(.standard) + [
      Eval.self, Generate.self, Inspect.self, Analyze.self, Plot.self, Report.self, Diff.self, Hash.self,
      Tokenize.self, Doctor.self,
    ])

  /// Throws an error that names the nearest command if the name is unknown.
  private static func requireCommand(_ name: String?) throws {
    let names = configuration.subcommands.map { $0._commandName } + ["help"]
    guard let name, !name.hasPrefix("-"), !names.contains(name) else { return }
    let nearest = nearestName(to: name, among: names).map { ", the nearest is '\($0)'" } ?? ""
    throw ValidationError("there is no command '\(name)'\(nearest)")
  }

  static func main() {
    do {
      try requireCommand(CommandLine.arguments.dropFirst().first)
      var command = try parseAsRoot()
      try ProcessJob.begin(command)
      Interruption.install()
      ProcessMemory.keepFreedMemory()
      try command.run()
      ProcessJob.finish()
    } catch let error as any CommandFailure {
      Interruption.waitIfBegun()
      ProcessJob.fail(error.oneLine, exitCode: error.exitCode)
    } catch let error where exitCode(for: error) == .failure && !(error is ExitCode) {
      // A system error without a message of ours; exit code 1 would mean a failed check.
      Interruption.waitIfBegun()
      ProcessJob.fail("\(error)".escapedForDisplay, exitCode: 4)
    } catch {
      ProcessJob.finish()
      guard ProcessJob.isFirst else { Foundation.exit(0) }
      exit(withError: error)
    }
  }
}

/// An error that ends a command: one line and an exit code.
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

  fileprivate var exitCode: Int32 {
    switch self {
    case .usage, .recipe, .unmatchedPattern, .emptySelection, .alreadyPacked: 64
    case .divisibility(_, _, _, _, let fitting): fitting.isEmpty ? 2 : 64
    case .notFinite: 2
    case .notExact: 3
    case .checkFailed: 1
    }
  }
}
