import Foundation
import TestSupport
import Testing

/// What the original model has computed for a run is not computed again when it goes on.
@Suite struct ResumeOriginalTests {
  private static let convert = ["convert", "recipe.yaml", "--threads", "2", "--resume"]
  private static let recipe = """
    input: model
    output: out.rilq
    passes:
      - quantize: {bits: 2, group_size: 64, method: gptq, samples: 16, sampled: 16, length: 64, sweeps: 4}
      - calibrate: {samples: 12, sampled: 12, length: 64, updates: 40, batch: 2, validation: 0}
    """

  @Test(arguments: [SIGKILL, SIGTERM], [["sample"], ["sample", "teacher"]])
  func `a run that was stopped behind a phase goes on without it, to the same bytes`(
    signal: Int32, phases: [String]
  ) throws {
    let kept = ".out.rilq.partial/" + (phases.contains("teacher") ? "teacher.f32" : "sampled.tokens")
    let folder = try folderWithFixture()
    try folder.write("recipe.yaml", Self.recipe)
    let whole = try Program(Self.convert, in: folder).wait()
    try #require(whole.code == 0, "\(whole.error)")
    #expect(whole.error.contains("sample 1008/1008") && whole.error.contains("teacher 12/12"))
    let expected = try folder.read("out.rilq")
    try FileManager.default.removeItem(atPath: folder.path("out.rilq"))

    let moment = phases.contains("teacher") ? "calibrate:1" : "quantize:1"
    let program = try Program(Self.convert, in: folder, stoppingAfter: moment)
    try program.waitUntilStopped()
    program.send(signal)
    try #require(try program.wait().code != 0)
    #expect(FileManager.default.fileExists(atPath: folder.path(kept)))
    #expect(try !folder.names().contains("out.rilq"))
    let rest = try Program(Self.convert, in: folder).wait()
    try #require(rest.code == 0, "\(rest.error)")
    for phase in phases { #expect(!rest.error.contains(phase + " ")) }
    #expect(rest.error.contains("calibrate 40/40"))
    #expect(try folder.read("out.rilq") == expected)
    #expect(try folder.names() == ["model", "out.rilq", "out.rilq.results.json", "recipe.yaml"])
  }
}
