import Foundation
import TestSupport
import Testing

/// A run of the real program, started in a folder.
final class Program {
  private let process = Process()
  private let streams: TemporaryFolder

  /// Starts the program.
  ///
  /// - Parameters:
  ///   - arguments: What follows its name.
  ///   - folder: The current folder of the run.
  ///   - script: What the shell does instead, where the program is `"$0"` and the arguments are `"$@"`.
  ///   - moment: Where the program stops itself, such as `calibrate:6`: a phase, and what is completed of it.
  /// - Throws: When it is not there or cannot be started.
  init(
    _ arguments: [String], in folder: TemporaryFolder, script: String? = nil,
    stoppingAfter moment: String? = nil
  ) throws {
    // Files rather than pipes: nobody has to read while the program runs.
    streams = try TemporaryFolder()
    let path = try Self.path()
    process.executableURL = URL(filePath: script == nil ? path : "/bin/sh")
    process.arguments = (script.map { ["-c", $0, path] } ?? []) + arguments
    process.currentDirectoryURL = URL(filePath: folder.path)
    process.environment = ProcessInfo.processInfo.environment.merging(["COLUMNS": "80"]) { $1 }
    process.environment?["RILQ_STOP_AFTER"] = moment
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = try file("output")
    process.standardError = try file("error")
    try process.run()
  }

  /// Runs the program to its end.
  static func run(_ arguments: String..., in folder: TemporaryFolder) throws -> Result {
    try Program(arguments, in: folder).wait()
  }

  /// What came of a run.
  struct Result {
    /// The exit code, or nil when a signal ended the run.
    let code: Int32?
    let output: String
    let error: String
  }

  /// Whether it has not ended yet.
  var isRunning: Bool { process.isRunning }

  /// Waits until the program has stopped itself.
  ///
  /// - Throws: When it ends before that.
  func waitUntilStopped() throws {
    while try !isStopped() {
      try #require(isRunning, "the program has ended before the moment at which it should stop")
      usleep(1000)
    }
  }

  /// Whether every thread of the process stands still after SIGSTOP.
  private func isStopped() throws -> Bool {
    let path = "/proc/\(process.processIdentifier)/stat"
    guard let status = try? String(contentsOfFile: path, encoding: .utf8) else { return false }
    // The state follows the name, which is in parentheses.
    return status.split(separator: ") ").last?.hasPrefix("T") ?? false
  }

  /// Sends a signal, to a program that has stopped itself, too, which goes on then.
  func send(_ signal: Int32) {
    kill(process.processIdentifier, signal)
    kill(process.processIdentifier, SIGCONT)
  }

  /// Waits for the end.
  func wait() throws -> Result {
    process.waitUntilExit()
    return Result(
      code: process.terminationReason == .exit ? process.terminationStatus : nil,
      output: String(decoding: try streams.read("output"), as: UTF8.self),
      error: String(decoding: try streams.read("error"), as: UTF8.self))
  }

  private func file(_ name: String) throws -> FileHandle {
    try #require(FileHandle(forWritingAtPath: try streams.write(name, "")))
  }

  /// The program that `RILQ_BINARY` names, or the one beside the tests' own executable or in the build folder.
  private static func path() throws -> String {
    if let path = ProcessInfo.processInfo.environment["RILQ_BINARY"] { return path }
    let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
    let candidates = [
      URL(filePath: own).deletingLastPathComponent().path(percentEncoded: false),
      Fixtures.root + "/.build/release", Fixtures.root + "/.build/debug",
    ].map { $0 + "/rilq" }
    return try #require(
      candidates.first { FileManager.default.isExecutableFile(atPath: $0) },
      "the program is not built: none of \(candidates) is there; swift build makes it")
  }
}
