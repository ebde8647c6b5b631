import Foundation
import TestSupport
import Testing

/// Windows that the original model has written are not written again by a run that goes on.
@Suite struct ResumeSampledTests {
  private static let convert = ["convert", "recipe.yaml", "--threads", "2", "--resume"]
  private static let kept = ".out.rilq.partial/sampled.tokens"
  private static let recipe = """
    input: model
    output: out.rilq
    passes:
      - quantize: {bits: 2, group_size: 64, method: gptq, samples: 16, sampled: 16, length: 64, sweeps: 4}
      - calibrate: {samples: 12, sampled: 12, length: 64, updates: 6, batch: 2, validation: 0}
    """

  @Test(arguments: [SIGKILL, SIGTERM])
  func `a run that was stopped behind them goes on with them, to the same bytes`(signal: Int32) throws {
    let folder = try folderWithFixture()
    try folder.write("recipe.yaml", Self.recipe)
    let whole = try Program(Self.convert, in: folder).wait()
    try #require(whole.code == 0, "\(whole.error)")
    #expect(whole.error.contains("sample 16/16"))
    let expected = try folder.read("out.rilq")
    try FileManager.default.removeItem(atPath: folder.path("out.rilq"))

    let program = try Program(Self.convert, in: folder)
    while program.isRunning, !FileManager.default.fileExists(atPath: folder.path(Self.kept)) { usleep(500) }
    program.send(signal)
    try #require(try program.wait().code != 0)
    #expect(FileManager.default.fileExists(atPath: folder.path(Self.kept)))
    #expect(try !folder.names().contains("out.rilq"))
    let rest = try Program(Self.convert, in: folder).wait()
    try #require(rest.code == 0, "\(rest.error)")
    #expect(!rest.error.contains("sample"))
    #expect(rest.error.contains("calibrate 6/6"))
    #expect(try folder.read("out.rilq") == expected)
    #expect(try folder.names() == ["model", "out.rilq", "recipe.yaml"])
  }
}
