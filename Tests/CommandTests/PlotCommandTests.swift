import Checkpoints
import Foundation
import TestSupport
import Testing

/// The binary itself, run for `plot`.
@Suite struct PlotCommandTests {
  private static let log = """
    {"update":0,"validation_gt_loss":4,"validation_loss":2.5}
    {"update":1,"model_loss":0.5,"gt_loss":3.5,"loss":2,"tokens_per_second":10}
    {"update":2,"model_loss":0.5,"gt_loss":3,"loss":1.75,"validation_gt_loss":3,"validation_loss":2}

    """

  @Test func `draws the log of a calibration`() throws {
    let folder = try folderWithFixture()
    try succeed("quantize", "model", "q.rilq", in: folder)
    try succeed(
      "calibrate", "q.rilq", "c.rilq", "--teacher", "model", "--text", calibrationText, "--samples", "4",
      "--length", "16", "--updates", "3", "--batch", "2", "--validation", "2", "--validate-every", "1",
      "--log",
      "log.jsonl", in: folder)
    let result = try succeed("plot", "log.jsonl", "--output", "curve.svg", "--json", in: folder)
    let document = try JSONValue(parsing: Array(result.output.utf8))
    #expect(document["output"]?.string == "curve.svg")
    let curve = try #require(document["curves"]?.array?.first)
    #expect(
      curve.keys == [
        "log", "updates", "training_first", "training_last", "validation_first", "validation_last",
        "validation_best",
      ])
    #expect(curve["updates"]?.integer == 3)
    #expect(try folder.read("curve.svg").starts(with: "<svg ".utf8))
  }

  @Test func `says how the losses went, and does not replace an image unasked`() throws {
    let folder = try TemporaryFolder()
    try folder.write("a.jsonl", Self.log)
    let result = try succeed("plot", "a.jsonl", "--output", "a.svg", in: folder)
    #expect(
      result.output == """
        a.jsonl: 2 updates, loss 2.0000 to 1.7500, held out 2.5000 to 2.0000, best 2.0000 at 2
        a.svg

        """)
    let second = try Program.run("plot", "a.jsonl", "--output", "a.svg", in: folder)
    #expect(second.code == 4 && second.error == "rilq: a.svg: exists already; --force replaces it\n")
    try succeed("plot", "a.jsonl", "--output", "a.svg", "--force", in: folder)
  }

  @Test(arguments: [
    #"{"update":1,"loss":1e17}"#, #"{"update":1,"loss":-1e29}"#, #"{"update":0,"validation_loss":0}"#,
    #"{"update":1000000000,"loss":1e-320}"#, #"{"update":1,"loss":5,"kl_loss":1e999}"#,
  ])
  func `draws the log of one line`(line: String) throws {
    let folder = try TemporaryFolder()
    try folder.write("a.jsonl", line + "\n")
    try succeed("plot", "a.jsonl", "--output", "a.svg", "--loss", "loss", in: folder)
    try succeed("plot", "a.jsonl", "--output", "b.svg", in: folder)
  }

  @Test func `replaces nothing but files`() throws {
    let folder = try TemporaryFolder()
    try folder.write("a.jsonl", Self.log)
    try FileManager.default.createSymbolicLink(atPath: folder.path("a.svg"), withDestinationPath: "a.jsonl")
    let result = try Program.run("plot", "a.jsonl", "--output", "a.svg", "--force", in: folder)
    #expect(result.code == 64 || result.code == 4)
    #expect(try folder.read("a.jsonl") == Array(Self.log.utf8))
  }

  @Test func `never replaces a log`() throws {
    let folder = try TemporaryFolder()
    try folder.write("a.jsonl", Self.log)
    let result = try Program.run("plot", "a.jsonl", "--output", "./a.jsonl", "--force", in: folder)
    #expect(result.code == 64)
    #expect(try folder.read("a.jsonl") == Array(Self.log.utf8))
  }

  @Test func `a loss that a log does not have is an error`() throws {
    let folder = try TemporaryFolder()
    try folder.write("a.jsonl", Self.log)
    let missing = try Program.run("plot", "a.jsonl", "--output", "a.svg", "--loss", "kl_loss", in: folder)
    #expect(missing.code == 2 && missing.error == "rilq: a.jsonl: key 'kl_loss' is missing\n")
    #expect(try Program.run("plot", "a.jsonl", "--output", "a.svg", "--loss", "x", in: folder).code == 64)
  }
}
