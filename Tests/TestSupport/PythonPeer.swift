import Foundation

/// The Python whose libraries ours are compared with: `RILQ_PYTHON`, or the `python3` that is found first.
package enum PythonPeer {
  private static let interpreter = ProcessInfo.processInfo.environment["RILQ_PYTHON"] ?? "python3"

  /// Whether all of some modules can be imported.
  package static func has(_ modules: String...) -> Bool {
    (try? run(["-c", "import \(modules.joined(separator: ", "))"]))?.code == 0
  }

  /// Runs a program of `Scripts/`.
  ///
  /// - Returns: What it printed, complaints included, and its exit code.
  package static func runScript(_ name: String, _ arguments: String...) throws -> (text: String, code: Int32)
  {
    try run(["-B", Fixtures.root + "/Scripts/" + name] + arguments)
  }

  /// Runs a program at a path.
  ///
  /// - Returns: What it printed, complaints included, and its exit code.
  package static func run(_ path: String, _ arguments: String...) throws -> (text: String, code: Int32) {
    try run(["-B", path] + arguments)
  }

  private static func run(_ arguments: [String]) throws -> (text: String, code: Int32) {
    let folder = try TemporaryFolder()
    let output = try folder.write("output", "")
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = [interpreter] + arguments
    process.standardOutput = FileHandle(forWritingAtPath: output)
    process.standardError = process.standardOutput
    try process.run()
    process.waitUntilExit()
    return (String(decoding: try folder.read("output"), as: UTF8.self), process.terminationStatus)
  }
}
