import Checkpoints
import TestSupport
import Testing

/// Folders with integer zero points, made from a model and read again.
@Suite struct `Formats with integer zero points` {
  private let folder: TemporaryFolder

  init() throws { folder = try folderWithFixture() }

  private func perplexity(_ name: String) throws -> JSONValue? {
    let result = try succeed(
      "eval", name, "--text", evaluationText, "--window", "64", "--max-tokens", "512", "--json", in: folder)
    return try JSONValue(parsing: Array(result.output.utf8))["perplexity"]
  }

  @Test(arguments: ["gptq", "gptq_v2", "autoround", "compressed-tensors"])
  func `are equal to the container with the same weights`(format: String) throws {
    try succeed(
      "convert", "model", "out", "--pass", "quantize: {bits: 4, group_size: 64}", "--to", format, "--lossy",
      in: folder)
    try succeed("convert", "out", "out.rilq", in: folder)
    let value = try perplexity("out")
    #expect(value != nil)
    #expect(try perplexity("out.rilq") == value)
    // What was read is held exactly, so that writing it again needs no leave.
    try succeed("convert", "out.rilq", "again", "--to", format, in: folder)
    let tensors = try folder.read("again/model.safetensors")
    #expect(try tensors == folder.read("out/model.safetensors"))
    #expect(try perplexity("again") == value)
  }

  @Test(arguments: ["gptq", "vllm"]) func `are what --for makes`(runtime: String) throws {
    try succeed("convert", "model", "out", "--for", runtime, "--pass", "quantize", in: folder)
    let result = try succeed("inspect", "out", "--json", in: folder)
    let metadata = try JSONValue(parsing: Array(result.output.utf8))["metadata"]
    #expect(
      metadata?["source_format"]?["quant_method"]?.string
        == (runtime == "gptq" ? "gptq" : "compressed-tensors"))
    #expect(try perplexity("out") != nil)
  }

  @Test(arguments: ["gptq", "gptq_v2", "autoround", "compressed-tensors"])
  func `refuse free tables in the plan`(format: String) throws {
    let result = try Program.run(
      "convert", "model", "out", "--pass", "quantize", "--to", format, "--dry-run", in: folder)
    #expect(result.code == 3)
    #expect(result.error.contains("--grid zero_point"))
  }

  @Test func `refuse a loss before anything is written`() throws {
    try succeed("quantize", "model", "q.rilq", in: folder)
    let result = try Program.run("convert", "q.rilq", "out", "--to", "gptq_v2", in: folder)
    #expect(result.code == 3)
    #expect(result.error.contains("does not hold it exactly; --lossy writes the nearest"))
    #expect(try folder.names() == ["model", "q.rilq"])
  }

  @Test func `report a loss module by module`() throws {
    try succeed("quantize", "model", "q.rilq", in: folder)
    let result = try succeed("convert", "q.rilq", "out", "--to", "gptq_v2", "--lossy", "--json", in: folder)
    let report = try #require(try JSONValue(parsing: Array(result.output.utf8))["representation"])
    #expect(report["format"]?.string == "gptq_v2")
    #expect(report["exact"]?.bool == false)
    let loss = try #require(report["losses"]?.array?.first)
    #expect(loss.keys == ["module", "largest_error", "mean_error"])
  }

  @Test func `show in inspect where they come from`() throws {
    try succeed("convert", "model", "out", "--pass", "quantize", "--to", "gptq", "--lossy", in: folder)
    let result = try succeed("inspect", "out", "--json", in: folder)
    let metadata = try JSONValue(parsing: Array(result.output.utf8))["metadata"]
    #expect(metadata?["source_format"]?["zero_points"]?.string == "v1")
  }
}
