import Checkpoints
import Foundation
import TestSupport
import Testing

/// What the program says about checkpoints that contradict themselves.
@Suite struct NoticeTests {
  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    try Checkpoint.open(path: Fixtures.path("tiny-llama")).writeFolder(to: folder.path("model")) {
      $0.tieEmbeddings()
    }
  }

  private func notices(_ text: String) throws -> [String] {
    try JSONValue(parsing: Array(text.utf8))["notices"]?.array?.compactMap(\.string) ?? []
  }

  @Test func `eval and convert say once that a head is used beside tied embeddings`() throws {
    let eval = try succeed(
      "eval", "model", "--text", evaluationText, "--window", "32", "--max-tokens", "64", "--quiet", "--json",
      in: folder)
    let convert = try succeed("quantize", "model", "out.rilq", "--quiet", "--json", in: folder)
    let itself = try succeed(
      "eval", "model", "--reference", "model", "--text", evaluationText, "--window", "32", "--max-tokens",
      "64", "--quiet", "--json", in: folder)
    for result in [eval, convert, itself] {
      #expect(result.error.split(separator: "\n").count == 1, "\(result.error)")
      #expect(result.error.contains("config.json: 'tie_word_embeddings' is true, but 'lm_head.weight'"))
      #expect(try notices(result.output).count == 1)
    }
  }

  @Test func `nothing is said of a checkpoint that agrees with itself`() throws {
    let result = try succeed(
      "eval", Fixtures.path("tiny-llama"), "--text", evaluationText, "--window", "32", "--max-tokens", "64",
      "--quiet", "--json", in: folder)
    #expect(result.error.isEmpty)
    #expect(try notices(result.output).isEmpty && !result.output.contains("notices"))
  }

  @Test(arguments: [
    ["eval", "broken", "--text", evaluationText, "--window", "32", "--max-tokens", "64"],
    ["verify", "model", "broken", "--text", evaluationText, "--window", "32", "--max-tokens", "64"],
    ["generate", "broken", "--prompt", "The", "--max-tokens", "4"],
    ["eval", "broken", "--tasks", Fixtures.path("tasks/general.jsonl")],
    [
      "calibrate", "packed.rilq", "out.rilq", "--teacher", "broken", "--text", calibrationText,
      "--samples", "4",
    ],
    [
      "calibrate", "packed.rilq", "out.rilq", "--teacher", "model", "--text", calibrationText,
      "--samples", "4", "--length", "32", "--updates", "1", "--batch", "2", "--validation", "0",
    ],
    [
      "calibrate", "intact.rilq", "out.rilq", "--teacher", "broken", "--text", calibrationText,
      "--samples", "4", "--length", "32", "--updates", "1", "--batch", "2", "--validation", "0",
    ],
  ])
  func `a model that is not finite is refused by its tensor`(arguments: [String]) throws {
    let name = "model.layers.1.mlp.up_proj.weight"
    let fixture = try Checkpoint.open(path: Fixtures.path("tiny-llama"))
    try fixture.writeFolder(to: folder.path("broken")) { changes in
      guard let tensor = fixture.tensor(named: name), var bytes = try? fixture.copiedBytes(of: name) else {
        return
      }
      // Row 3, column 5 of bf16: a quiet NaN.
      bytes.replaceSubrange(2 * (3 * 128 + 5)..<2 * (3 * 128 + 6), with: [0xC0, 0x7F])
      changes.rename = { $0 == name ? nil : $0 }
      changes.added = [(tensor, bytes)]
    }
    if arguments[0] == "calibrate" {
      // Calibration trains packed linears; the damaged one stays dense.
      let model = arguments[1] == "packed.rilq" ? "broken" : "model"
      try succeed(
        "quantize", model, arguments[1], "--ignore", "model.layers.1.mlp.up_proj", "--quiet", in: folder)
    }
    let result = try Program(arguments + ["--quiet", "--json"], in: folder).wait()
    #expect(result.code == 2, "\(result.error)")
    #expect(result.error.contains("tensor '\(name)': value 5 of row 3 is not finite"), "\(result.error)")
    #expect(result.output.isEmpty)
  }
}
