import Checkpoints
import Foundation
import TestSupport
import Testing

/// What `--log` and `--write-recipe` may write to.
@Suite struct SideFileTests {
  private static let calibrate = [
    "calibrate", "q.rilq", "c.rilq", "--teacher", "model", "--text", calibrationText, "--samples", "4",
    "--length",
    "16", "--updates", "3", "--batch", "2", "--validation", "0",
  ]

  private func folderWithQuantized() throws -> TemporaryFolder {
    let folder = try folderWithFixture()
    try succeed("quantize", "model", "q.rilq", in: folder)
    return folder
  }

  /// Puts something at a path that no option replaces.
  private func place(_ kind: String, at name: String, in folder: TemporaryFolder) throws {
    let path = folder.path(name)
    switch kind {
    case "folder": try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    case "link":
      try folder.write("target", "kept")
      try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: "target")
    default: try #require(mkfifo(path, 0o600) == 0)
    }
  }

  @Test(arguments: [[], ["--dry-run"]])
  func `a log that is there is replaced with --force only`(flags: [String]) throws {
    let folder = try folderWithQuantized()
    try folder.write("log", "kept")
    let result = try Program(Self.calibrate + ["--log", "log"] + flags, in: folder).wait()
    #expect(result.code == 4)
    #expect(result.error == "rilq: log: exists already; --force replaces it\n")
    #expect(try folder.read("log") == Array("kept".utf8))
    #expect(try folder.names() == ["log", "model", "q.rilq"])
    let forced = try Program(Self.calibrate + ["--log", "log", "--force"] + flags, in: folder).wait()
    #expect(forced.code == 0, "\(forced.error)")
    #expect(try (folder.read("log") == Array("kept".utf8)) == !flags.isEmpty)
  }

  @Test(arguments: ["folder", "link", "fifo"], ["--log", "--write-recipe"])
  func `nothing but a file is replaced`(kind: String, option: String) throws {
    let folder = try folderWithModel()
    try place(kind, at: "there", in: folder)
    let result = try Program.run(
      "convert", "model", "out.rilq", "--pass", "quantize", option, "there", "--force", in: folder)
    #expect(result.code == 4)
    #expect(result.error.contains("there: is there and is not a regular file"))
    if kind == "link" { #expect(try folder.read("target") == Array("kept".utf8)) }
    #expect(!(try folder.names().contains("out.rilq")))
  }

  @Test func `a link in the place of an unfinished file is not followed`() throws {
    let folder = try folderWithModel()
    try place("link", at: "r.yaml.unfinished", in: folder)
    let result = try Program.run(
      "convert", "model", "out.rilq", "--write-recipe", "r.yaml", "--force", in: folder)
    #expect(result.code == 4)
    #expect(try folder.read("target") == Array("kept".utf8))
  }

  @Test(arguments: ["--log", "--write-recipe"])
  func `a folder that is not there is found before anything is done`(option: String) throws {
    let folder = try folderWithModel()
    let result = try Program.run("convert", "model", "out.rilq", option, "no/file", in: folder)
    #expect(result.code == 4)
    #expect(result.error.contains("no/file: cannot be written, there is no folder 'no'"))
    #expect(try folder.names() == ["model"])
  }

  @Test func `an output in a folder that is not there is refused by its own name`() throws {
    let folder = try folderWithModel()
    let result = try Program.run("convert", "model", "no/out.rilq", in: folder)
    #expect(result.code == 4)
    #expect(result.error == "rilq: no/out.rilq: cannot be written, there is no folder 'no'\n")
    #expect(try folder.names() == ["model"])
  }

  @Test func `a log that is the output is refused`() throws {
    let folder = try folderWithModel()
    let result = try Program.run("convert", "model", "out.rilq", "--log", "out.rilq", in: folder)
    #expect(result.code == 64 && result.error == "rilq: --log out.rilq: is the output\n")
    #expect(try folder.names() == ["model"])
  }

  @Test func `a recipe that is there is replaced with --force only`() throws {
    let folder = try folderWithModel()
    try folder.write("r.yaml", "kept")
    let arguments = ["convert", "model", "out.rilq", "--pass", "quantize", "--write-recipe", "r.yaml"]
    let result = try Program(arguments, in: folder).wait()
    #expect(result.code == 4 && result.error == "rilq: r.yaml: exists already; --force replaces it\n")
    #expect(try folder.names() == ["model", "r.yaml"])
    #expect(try Program(arguments + ["--force"], in: folder).wait().code == 0)
    #expect(String(decoding: try folder.read("r.yaml"), as: UTF8.self).contains("quantize"))
    #expect(try folder.names() == ["model", "out.rilq", "out.rilq.results.json", "r.yaml"])
  }

  @Test func `a recipe is not written by a run that writes nothing, or that fails`() throws {
    let folder = try folderWithModel()
    let arguments = ["convert", "model", "out.rilq", "--write-recipe", "r.yaml", "--pass"]
    let dry = try Program(arguments + ["quantize", "--dry-run"], in: folder).wait()
    #expect(dry.code == 64 && dry.error.contains("--dry-run writes nothing"))
    #expect(try Program(arguments + ["merge"], in: folder).wait().code == 64)
    #expect(try folder.names() == ["model"])
  }
}
