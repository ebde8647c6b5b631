import Checkpoints
import TestSupport
import Testing

/// The binary itself, run for `analyze`.
@Suite struct AnalyzeCommandTests {
  @Test func `prints its document with the keys that other programs rely on`() throws {
    let folder = try folderWithModel()
    try succeed("quantize", "model", "q.rilq", in: folder)
    let result = try succeed(
      "analyze", "q.rilq", "--reference", "model", "--text", calibrationText, "--samples", "2", "--length",
      "32", "--json", in: folder)
    let document = try JSONValue(parsing: Array(result.output.utf8))
    #expect(
      document.keys == [
        "checkpoint", "reference", "energy_shares", "linears", "text", "samples", "length", "ranks",
        "mean_output_error", "layers", "final_relative_error", "peak_memory_bytes",
      ])
    #expect(document["linears"]?.array?.count == 14)
    #expect(document["layers"]?.array?.count == 2)
  }

  @Test func `writes plots, and does not replace them unasked`() throws {
    let folder = try folderWithModel()
    try succeed("quantize", "model", "q.rilq", in: folder)
    let arguments = ["analyze", "q.rilq", "--reference", "model", "--svg", "plots"]
    #expect(try Program(arguments, in: folder).wait().code == 0)
    for name in ["spectrum.svg", "energy.svg"] {
      #expect(try folder.read("plots/" + name).starts(with: "<svg ".utf8))
    }
    let second = try Program(arguments, in: folder).wait()
    #expect(second.code == 4 && second.output.isEmpty)
    #expect(second.error.says("rilq: plots/spectrum.svg: exists … --force …\n"))
    #expect(try Program(arguments + ["--force"], in: folder).wait().code == 0)
  }

  @Test func `refuses models that do not belong together`() throws {
    let folder = try folderWithModel()
    let result = try Program.run(
      "analyze", "model", "--reference", Fixtures.path("tiny-llama"), in: folder)
    #expect(result.code == 2)
    #expect(result.error.says("rilq: … 2 … 4 layers\n"))
  }

  @Test(arguments: [
    ["analyze", "a"], ["analyze", "a", "--reference", "b", "--samples", "0"],
    ["analyze", "a", "--reference", "b", "--length", "1"], ["analyze", "a", "--reference", "b", "--force"],
  ])
  func `wrong usage exits with 64`(arguments: [String]) throws {
    #expect(try Program(arguments, in: TemporaryFolder()).wait().code == 64)
  }
}
