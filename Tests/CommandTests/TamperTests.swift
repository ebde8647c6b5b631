import Checkpoints
import Foundation
import TestSupport
import Testing

/// What verification is for: damage and wrong numbers must not pass.
@Suite struct TamperTests {
  private func verify(_ candidate: String, in folder: TemporaryFolder) throws -> Program.Result {
    try Program.run(
      "verify", "q.rilq", candidate, "--text", evaluationText, "--window", "64", "--max-tokens", "512",
      in: folder)
  }

  @Test func `one changed byte of a section exits with 2`() throws {
    let folder = try TemporaryFolder()
    try succeed("quantize", Fixtures.path("tiny-llama"), "q.rilq", "--quiet", in: folder)
    let bytes = try folder.read("q.rilq")
    // Sections fill the file between a short header and the table at the end.
    for offset in [100, bytes.count / 4, bytes.count / 2] {
      var damaged = bytes
      damaged[offset] ^= 0x10
      try folder.write("damaged.rilq", damaged)
      let result = try verify("damaged.rilq", in: folder)
      #expect(result.code == 2, "byte \(offset): \(result.error)")
      #expect(result.error.contains("damaged.rilq: "))
    }
  }

  @Test func `one scale changed by a tenth exits with 1`() throws {
    let folder = try TemporaryFolder()
    try succeed("quantize", Fixtures.path("tiny-llama"), "q.rilq", "--quiet", in: folder)
    _ = try Checkpoint.open(path: folder.path("q.rilq")).copy(to: folder.path("changed.rilq")) {
      name, values in
      if name == "model.layers.1.mlp.up_proj.scales" { values[100] *= 1.1 }
    }
    #expect(try verify("q.rilq", in: folder).code == 0)
    let result = try verify("changed.rilq", in: folder)
    #expect(result.code == 1, "\(result.error)")
    #expect(result.output.contains("max_mean_kl"))
  }
}
