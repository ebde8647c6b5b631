import Checkpoints
import Foundation
import TestSupport
import Testing

/// A run that is stopped leaves the target as it was, and the next one succeeds.
@Suite struct InterruptionTests {
  private static let workFolder = ".out.rilq.partial"

  @Test(arguments: [SIGINT, SIGTERM])
  func `interrupted it exits with 130 and leaves no work folder`(signal: Int32) throws {
    let folder = try folderWithFixture()
    try writeFullRecipe(to: folder, updates: 100_000)
    let program = try Program(["convert", "recipe.yaml"], in: folder)
    try waitForWorkFolder(of: program, in: folder)
    program.send(signal)
    let result = try program.wait()
    #expect(result.code == 130)
    #expect(result.error.contains("rilq: interrupted; nothing is written\n"))
    #expect(try folder.names() == ["model", "recipe.yaml", "text.txt"])
  }

  @Test func `a second run on the same target is refused while the first one works`() throws {
    let folder = try folderWithFixture()
    try writeFullRecipe(to: folder, updates: 100_000)
    let program = try Program(["convert", "recipe.yaml"], in: folder)
    try waitForWorkFolder(of: program, in: folder)
    let second = try Program.run("quantize", "model", "out.rilq", in: folder)
    #expect(second.code == 4)
    #expect(second.error.says("rilq: out.rilq: another run …\n"))
    #expect(program.isRunning)
    program.send(SIGINT)
    #expect(try program.wait().code == 130)
  }

  @Test(arguments: [SIGINT, SIGTERM])
  func `interrupted with --resume it keeps the finished steps and says so`(signal: Int32) throws {
    let folder = try folderWithFixture()
    try writeFullRecipe(to: folder, updates: 100_000)
    let program = try Program(["convert", "recipe.yaml", "--resume"], in: folder)
    // The journal names a step before the next one begins.
    try waitForWorkFolder(of: program, step: "step-1.rilq", in: folder)
    program.send(signal)
    let result = try program.wait()
    #expect(result.code == 130)
    #expect(
      result.error.contains("rilq: interrupted; nothing is written, finished steps are kept for --resume\n"))
    #expect(try folder.names() == [Self.workFolder, "model", "recipe.yaml", "text.txt"])
    let kept = try FileManager.default.contentsOfDirectory(atPath: folder.path(Self.workFolder))
    #expect(kept.contains("journal") && kept.contains("step-0.rilq"))
    #expect(!kept.contains("unfinished"))
  }

  @Test func `a work folder that was left behind is removed`() throws {
    let folder = try folderWithModel()
    try folder.write(Self.workFolder + "/step-0.rilq", "left by a run that was killed")
    try folder.write(Self.workFolder + "/output", "so was this")
    try succeed("quantize", "model", "out.rilq", in: folder)
    #expect(try folder.names() == ["model", "out.rilq"])
  }

  /// Waits until a step is written.
  private func waitForWorkFolder(
    of program: Program, step: String = "step-0.rilq", in folder: TemporaryFolder
  ) throws {
    let step = folder.path(Self.workFolder + "/" + step)
    while program.isRunning, !FileManager.default.fileExists(atPath: step) { usleep(2000) }
    try #require(program.isRunning)
  }
}
