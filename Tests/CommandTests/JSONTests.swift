import Checkpoints
import Foundation
import TestSupport
import Testing

/// With `--json` standard output is one document, with the keys that other programs rely on.
@Suite struct JSONTests {
  private func document(_ arguments: String..., in folder: TemporaryFolder, code: Int32 = 0) throws
    -> JSONValue
  {
    let result = try Program(arguments + ["--json"], in: folder).wait()
    #expect(result.code == code, "\(result.error)")
    return try JSONValue(parsing: Array(result.output.utf8))
  }

  @Test func `eval has its keys`() throws {
    let folder = try TemporaryFolder()
    let evaluation = try document(
      "eval", Fixtures.path("tiny-llama"), "--text", evaluationText, "--window", "128", "--max-tokens", "600",
      in: folder)
    let keys = [
      "perplexity", "nll_per_token", "tokens_scored", "windows", "window", "tokens_per_second",
      "peak_memory_bytes",
    ]
    #expect(evaluation.keys == keys)
    #expect(evaluation["windows"]?.integer == 4)
    #expect(evaluation["tokens_scored"]?.integer == 4 * 127)
    let perplexity = try #require(evaluation["perplexity"]?.double)
    #expect(abs(log(perplexity) - (evaluation["nll_per_token"]?.double ?? 0)) < 1e-9)
  }

  @Test func `eval against a reference has three more`() throws {
    let folder = try TemporaryFolder()
    try succeed("quantize", Fixtures.path("tiny-llama"), "q.rilq", in: folder)
    let evaluation = try document(
      "eval", "q.rilq", "--reference", Fixtures.path("tiny-llama"), "--text", evaluationText, "--window",
      "128",
      "--max-tokens", "600", in: folder)
    for key in ["perplexity", "mean_kl", "top1_agreement", "reference_perplexity"] {
      #expect(evaluation[key]?.double != nil, "\(key)")
    }
    let alone = try document(
      "eval", "q.rilq", "--text", evaluationText, "--window", "128", "--max-tokens", "600", in: folder)
    let ratio = (evaluation["perplexity"]?.double ?? 0) / (alone["perplexity"]?.double ?? 1)
    #expect(abs(ratio - 1) < 1e-6)
  }

  @Test func `verify has its keys, passed or not`() throws {
    let folder = try folderWithModel()
    try succeed("quantize", "model", "q.rilq", in: folder)
    let equal = try document(
      "verify", "q.rilq", "q.rilq", "--text", evaluationText, "--window", "64", "--max-tokens", "256",
      in: folder)
    let keys = [
      "passed", "mean_kl", "max_kl", "max_abs_logit_difference", "top1_agreement", "perplexity_reference",
      "perplexity_candidate", "generation", "continuations", "checks",
    ]
    for key in keys { #expect(equal[key] != nil, "\(key)") }
    #expect(equal["passed"]?.bool == true)
    let other = try document(
      "verify", "model", "q.rilq", "--text", evaluationText, "--window", "64", "--max-tokens", "256",
      "--max-kl", "1e-3", "--min-top1-agreement", "0", in: folder, code: 1)
    #expect(other["passed"]?.bool == false)
    let checks = try #require(other["checks"]?.array)
    #expect(checks.map { $0["name"]?.string } == ["max_kl", "min_top1_agreement", "max_collapsed"])
    #expect(checks.map { $0["passed"]?.bool }.prefix(2) == [false, true])
    let generation = [
      "prompts", "tokens", "mean_equal_tokens", "shortest_equal_tokens", "identical", "repetition_reference",
      "repetition_candidate", "collapsed_reference", "collapsed_candidate", "newly_collapsed",
    ]
    #expect(equal["generation"]?.keys == generation)
    #expect(checks.first?.keys == ["name", "value", "limit", "passed"])
  }

  @Test func `inspect has its keys`() throws {
    let folder = try folderWithModel()
    try succeed("quantize", "model", "q.rilq", "--bits", "4", "--group-size", "32", in: folder)
    let inspection = try document("inspect", "q.rilq", in: folder)
    for key in ["format", "parameters", "bytes", "bits_per_weight", "metadata", "tensors"] {
      #expect(inspection[key] != nil, "\(key)")
    }
    #expect(inspection["format"]?.string == "rilq")
    #expect(inspection["bits_per_weight"]?.double == 6)
    let tensors = try #require(inspection["tensors"]?.array)
    let packed = tensors.first { $0["name"]?.string == "model.layers.0.mlp.up_proj.weight" }
    for key in ["name", "dtype", "shape", "bytes"] { #expect(packed?[key] != nil, "\(key)") }
    #expect(packed?["bits"]?.integer == 4)
    #expect(packed?["group_size"]?.integer == 32)
    let original = try document("inspect", "model", in: folder)
    #expect(original["parameters"] == inspection["parameters"])
    #expect(original["format"]?.string == "safetensors")
  }

  @Test func `convert has its keys`() throws {
    let folder = try folderWithModel()
    let report = try document(
      "convert", "model", "q.rilq", "--pass", "quantize: {bits: 3}", "--pass", "attach: {rank: 2}", in: folder
    )
    let keys = ["input", "output", "passes", "bytes", "bits_per_weight", "record", "peak_memory_bytes"]
    #expect(report.keys == keys)
    let passes = try #require(report["passes"]?.array)
    #expect(passes.map { $0["name"]?.string } == ["quantize", "attach"])
    #expect(passes.allSatisfy { $0["seconds"]?.double ?? -1 >= 0 })
    #expect(try folder.read("q.rilq").count == report["bytes"]?.integer)
  }

  @Test func `a dry run prints the plan and writes nothing`() throws {
    let folder = try folderWithModel()
    let plan = try document("quantize", "model", "q.rilq", "--dry-run", in: folder)
    let changes = try #require(plan["passes"]?.array?.first?["changes"]?.array)
    #expect(changes.count == 14)
    #expect(plan["estimated_seconds"] == nil)
    let arguments = ["gptq", "--text", calibrationText, "--samples", "2", "--length", "16", "--dry-run"]
    let result = try Program(["quantize", "model", "q.rilq", "--json", "--method"] + arguments, in: folder)
      .wait()
    let work = try JSONValue(parsing: Array(result.output.utf8))
    #expect(try #require(work["estimated_seconds"]?.double) > 0)
    #expect(work["passes"]?.array?.first?["estimated_seconds"]?.double == work["estimated_seconds"]?.double)
    #expect(try folder.names() == ["model"])
  }

  @Test func `quiet shows no progress`() throws {
    let folder = try folderWithModel()
    let result = try succeed("quantize", "model", "q.rilq", "--quiet", in: folder)
    #expect(result.error.isEmpty)
    #expect(!result.output.isEmpty)
  }
}
