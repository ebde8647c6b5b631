import Foundation
import Passes
import TestSupport
import Testing

/// Help as it was; after a change on purpose `RILQ_UPDATE_SNAPSHOTS=1` makes the tests write `Snapshots` anew.
@Suite struct HelpTests {
  private static let folder = Fixtures.root + "/Tests/CommandTests/Snapshots"
  private static let updatesSnapshots =
    ProcessInfo.processInfo.environment["RILQ_UPDATE_SNAPSHOTS"] == "1"

  /// The commands that the help of the program lists: lines of two spaces, a name and more spaces.
  static func commands() throws -> [String] {
    let help = try Program.run("--help", in: TemporaryFolder()).output
    let list = try #require(help.components(separatedBy: "SUBCOMMANDS:\n").last)
    let names = list.matches(of: #/(?m)^\ {2}([a-z][a-z-]*)\ /#).map { String($0.1) }
    return try #require(names.isEmpty ? nil : names)
  }

  private func expectSnapshot(_ arguments: [String], _ name: String) throws {
    let result = try Program(arguments, in: TemporaryFolder()).wait()
    #expect(result.code == 0)
    #expect(result.error.isEmpty)
    let path = Self.folder + "/" + name
    if Self.updatesSnapshots { try result.output.write(toFile: path, atomically: false, encoding: .utf8) }
    let expected = try #require(
      try? String(contentsOfFile: path, encoding: .utf8),
      "there is no snapshot \(name); RILQ_UPDATE_SNAPSHOTS=1 makes the tests write it")
    #expect(result.output == expected)
  }

  @Test func `the help of the program is as it was`() throws { try expectSnapshot(["--help"], "help.txt") }

  @Test(arguments: try commands()) func `the help of a command is as it was`(command: String) throws {
    try expectSnapshot([command, "--help"], "help-\(command).txt")
  }

  @Test func `every snapshot is of a command`() throws {
    let known = try ["help.txt"] + Self.commands().map { "help-\($0).txt" }
    #expect(try Set(FileManager.default.contentsOfDirectory(atPath: Self.folder)).subtracting(known) == [])
  }

  @Test(arguments: try commands()) func `every command has the common flags`(command: String) throws {
    let help = try Program.run(command, "--help", in: TemporaryFolder()).output
    for flag in ["--json", "--quiet", "--threads", "--no-mmap"] { #expect(help.contains(flag)) }
  }

  @Test(arguments: PassRegistry.standard.names)
  func `the command of a pass has a flag for each option`(name: String) throws {
    let flags = try #require(PassRegistry.standard[name]).flagNames
    #expect(!flags.isEmpty)
    let help = try Program.run(name, "--help", in: TemporaryFolder()).output
    for flag in flags { #expect(help.contains("  --\(flag)"), "\(flag)") }
  }

  @Test func `says its version`() throws {
    let result = try Program.run("--version", in: TemporaryFolder())
    #expect(result.code == 0)
    #expect(result.output.wholeMatch(of: /\d+\.\d+\.\d+\n/) != nil)
  }

  @Test(arguments: [
    (["quantise", "a", "b"], "Error: there is no command 'quantise', the nearest is 'quantize'"),
    (["verify", "a", "b"], "rilq: --text is missing: rilq verify … --text FILE"),
    (["quantize", "a", "b", "--method", "gptq"], "rilq: quantize: the method 'gptq' needs a 'text'"),
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
