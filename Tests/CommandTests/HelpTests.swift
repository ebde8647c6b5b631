import Foundation
import TestSupport
import Testing

@Suite struct HelpTests {
  private static let commands = [
    "convert", "recipes", "rotate", "quantize", "attach", "calibrate", "merge", "verify", "eval", "generate",
    "inspect",
    "analyze", "plot", "diff", "hash",
  ]

  /// After a change on purpose: `COLUMNS=80 rilq --help > Tests/CommandTests/Snapshots/help.txt`.
  @Test func `the help of the program is as it was`() throws {
    let expected = try String(
      contentsOfFile: Fixtures.root + "/Tests/CommandTests/Snapshots/help.txt", encoding: .utf8)
    let result = try Program.run("--help", in: TemporaryFolder())
    #expect(result.code == 0)
    #expect(result.output == expected)
    #expect(result.error.isEmpty)
  }

  @Test(arguments: commands)
  func `every command has help`(command: String) throws {
    let result = try Program.run(command, "--help", in: TemporaryFolder())
    #expect(result.code == 0)
    #expect(result.output.contains("USAGE: rilq \(command)"))
    for flag in ["--json", "--quiet", "--threads", "--no-mmap"] { #expect(result.output.contains(flag)) }
  }

  @Test func `says its version`() throws {
    let result = try Program.run("--version", in: TemporaryFolder())
    #expect(result.code == 0)
    #expect(result.output.wholeMatch(of: /\d+\.\d+\.\d+\n/) != nil)
  }

  @Test(arguments: [
    (["quantise", "a", "b"], "Error: there is no command 'quantise', the nearest is 'quantize'"),
    (["verify", "a", "b"], "rilq: --text is missing: rilq verify … --text FILE"),
    (["merge", "a"], "Error: an input and an output, or a base, an adapter and an output, are expected"),
  ])
  func `wrong usage says what is missing`(arguments: [String], expected: String) throws {
    let folder = try TemporaryFolder()
    let result = try Program(arguments, in: folder).wait()
    #expect(result.code == 64)
    #expect(result.error.hasPrefix(expected), "\(result.error)")
    #expect(try folder.names().isEmpty)
  }

  @Test(arguments: [
    ["frobnicate"], ["quantize"], ["quantize", "a", "b", "--frobnicate"], ["eval", "a"],
    ["quantize", "a", "b", "--threads", "0"], ["convert", "a", "b", "c"],
    ["eval", "a", "--text", "b", "--window", "1"],
  ])
  func `wrong usage exits with 64`(arguments: [String]) throws {
    let folder = try TemporaryFolder()
    let result = try Program(arguments, in: folder).wait()
    #expect(result.code == 64)
    #expect(result.output.isEmpty)
    #expect(result.error.hasPrefix("Error: "))
    #expect(try folder.names().isEmpty)
  }
}
