import Checkpoints
import Foundation
import TestSupport
import Testing

/// A run that is stopped leaves the target as it was, and the next one succeeds.
@Suite struct InterruptionTests {
  private static let workFolder = ".out.rilq.partial"

  @Test func `killed at any moment leaves no output, and a second run succeeds`() throws {
    let folder = try folderWithFixture()
    try writeFullRecipe(to: folder)
    let begin = ContinuousClock.now
    try succeed("convert", "recipe.yaml", "--threads", "2", in: folder)
    let duration = ContinuousClock.now - begin
    let expected = try folder.read("out.rilq")
    try FileManager.default.removeItem(atPath: folder.path("out.rilq"))

    var random = SplitMix64(seed: 11)
    var killed = 0
    for _ in 0..<10 {
      let program = try Program(["convert", "recipe.yaml", "--threads", "2"], in: folder)
      let pause = (duration * Double.random(in: 0...1, using: &random)) / .microseconds(1)
      usleep(UInt32(pause))
      program.send(SIGKILL)
      if try program.wait().code == nil {
        killed += 1
        // It may have been killed after the output was published, but then it is whole.
        if try folder.names().contains("out.rilq") { #expect(try folder.read("out.rilq") == expected) }
      }
      try? FileManager.default.removeItem(atPath: folder.path("out.rilq"))
    }
    #expect(killed > 0)
    try succeed("convert", "recipe.yaml", "--threads", "2", in: folder)
    #expect(try folder.read("out.rilq") == expected)
    #expect(try folder.names() == ["model", "out.rilq", "recipe.yaml", "text.txt"])
  }

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
    #expect(second.error == "rilq: out.rilq: another run is writing here\n")
    #expect(program.isRunning)
    program.send(SIGINT)
    #expect(try program.wait().code == 130)
  }

  @Test func `a work folder that was left behind is removed`() throws {
    let folder = try folderWithModel()
    try folder.write(Self.workFolder + "/step-0.rilq", "left by a run that was killed")
    try folder.write(Self.workFolder + "/output", "so was this")
    try succeed("quantize", "model", "out.rilq", in: folder)
    #expect(try folder.names() == ["model", "out.rilq"])
  }

  /// Waits until the first step is being written: then the program listens to signals.
  private func waitForWorkFolder(of program: Program, in folder: TemporaryFolder) throws {
    let step = folder.path(Self.workFolder + "/step-0.rilq")
    while program.isRunning, !FileManager.default.fileExists(atPath: step) { usleep(2000) }
    try #require(program.isRunning)
  }
}
