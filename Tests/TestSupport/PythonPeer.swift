import Foundation
import Synchronization

/// The Python whose libraries ours are compared with: `RILQ_PYTHON`, or the first `python3` in `PATH`.
///
/// A test whose modules cannot be imported is skipped. With `RILQ_REQUIRE_PEERS=1` it runs, and fails.
package enum PythonPeer {
  /// A program that failed, and what it printed.
  package struct Failure: Error, CustomStringConvertible {
    /// The exit code and what was printed to standard error.
    package let description: String
  }

  private static let environment = ProcessInfo.processInfo.environment
  private static let interpreter = environment["RILQ_PYTHON"] ?? "python3"
  private static let isRequired = environment["RILQ_REQUIRE_PEERS"] == "1"
  private static let importable = Mutex<[[String]: Bool]>([:])

  /// Whether tests that need some modules run.
  ///
  /// - Parameter modules: Everything the test imports besides the standard library.
  /// - Returns: Whether all of them can be imported or are required.
  package static func has(_ modules: String...) -> Bool {
    isRequired || finds(modules)
  }

  /// Whether modules that no script installs can be imported.
  package static func hasByChance(_ modules: String...) -> Bool { finds(modules) }

  private static func finds(_ modules: [String]) -> Bool {
    importable.withLock { known in
      if let answer = known[modules] { return answer }
      let answer = (try? run("import \(modules.joined(separator: ", "))")) != nil
      known[modules] = answer
      return answer
    }
  }

  /// Runs a program.
  ///
  /// - Parameters:
  ///   - program: Its text.
  ///   - arguments: Its `sys.argv[1:]`.
  /// - Returns: What it printed to standard output.
  /// - Throws: `Failure` when its exit code is not 0.
  @discardableResult
  package static func run(_ program: String, _ arguments: [String] = []) throws -> String {
    try succeed(["-c", program] + arguments)
  }

  /// Runs a program of `Tests/Readers`.
  ///
  /// - Returns: What it printed to standard output.
  /// - Throws: `Failure` when its exit code is not 0.
  @discardableResult
  package static func runReader(_ name: String, _ arguments: [String]) throws -> String {
    try succeed([Fixtures.root + "/Tests/Readers/" + name] + arguments)
  }

  /// Runs a program of `Scripts/`.
  ///
  /// - Returns: Its output, standard error included, and its exit code.
  package static func runScript(_ name: String, _ arguments: String...) throws -> (text: String, code: Int32)
  {
    let result = try start([Fixtures.root + "/Scripts/" + name] + arguments)
    return (result.output + result.errors, result.code)
  }

  /// Runs a program at a path.
  ///
  /// - Returns: Its output, standard error included, and its exit code.
  package static func runFile(_ path: String, _ arguments: String...) throws -> (text: String, code: Int32) {
    let result = try start([path] + arguments)
    return (result.output + result.errors, result.code)
  }

  private static func succeed(_ arguments: [String]) throws -> String {
    let result = try start(arguments)
    guard result.code == 0 else { throw Failure(description: "exit code \(result.code): \(result.errors)") }
    return result.output
  }

  private static func start(_ arguments: [String]) throws -> (output: String, errors: String, code: Int32) {
    let folder = try TemporaryFolder()
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    // `-B` writes no bytecode files, which would stay beside the sources.
    process.arguments = [interpreter, "-B"] + arguments
    process.standardOutput = FileHandle(forWritingAtPath: try folder.write("output", ""))
    process.standardError = FileHandle(forWritingAtPath: try folder.write("errors", ""))
    try process.run()
    process.waitUntilExit()
    func text(_ name: String) throws -> String { String(decoding: try folder.read(name), as: UTF8.self) }
    return (try text("output"), try text("errors"), process.terminationStatus)
  }
}
