import Checkpoints
import TestSupport
import Testing

@Suite struct MergeCommandTests {
  /// A folder with `model`, and `adapter` on its queries.
  private func folder(_ model: TinyModel = TinyModel()) throws -> TemporaryFolder {
    let folder = try folderWithModel(model)
    var sample = SampleAdapter(rank: 4, alpha: 6, targets: ["q_proj"])
    for layer in 0..<2 {
      sample.add("model.layers.\(layer).self_attn.q_proj", rank: 4, inputs: 128, outputs: 128)
    }
    try sample.write(to: "adapter", in: folder)
    return folder
  }

  @Test func `merges a base and an adapter, the same on any number of threads`() throws {
    let folder = try folder()
    for threads in ["1", "2", "3"] {
      try succeed("merge", "model", "adapter", "out", "--force", "--threads", threads, in: folder)
      try succeed("merge", "model", "adapter", "\(threads).rilq", "--threads", threads, in: folder)
    }
    let hashes = try ["1.rilq", "2.rilq", "3.rilq", "out"].map { name in
      try JSONValue(parsing: Array(try succeed("hash", name, "--json", in: folder).output.utf8))["content"]?
        .string
    }
    #expect(Set(hashes).count == 1)
    #expect(try folder.read("out/tokenizer.json") == folder.read("model/tokenizer.json"))
  }

  @Test func `reports as a document`() throws {
    let folder = try folder()
    let output = try succeed("merge", "model", "adapter", "out.rilq", "--json", in: folder).output
    let pass = try #require(try JSONValue(parsing: Array(output.utf8))["passes"]?.array?.first)
    #expect(
      pass.keys == [
        "name", "seconds", "peak_memory_bytes", "modules", "largest_relative_change", "largest_change_in",
        "dense_modules", "dense_relative_rounding",
      ])
    #expect(pass["modules"]?.integer == 2)
  }

  @Test func `another adapter does not go on with a run`() throws {
    let folder = try folder()
    try succeed("quantize", "model", "quantized.rilq", in: folder)
    try folder.write(
      "recipe.yaml",
      """
      input: model
      output: out.rilq
      passes:
        - merge: {adapter: adapter}
        - quantize: {}
        - attach: {init: loftq, kind: dense, teacher: quantized.rilq}

      """)
    let first = try Program.run("convert", "recipe.yaml", "--resume", "--quiet", in: folder)
    try #require(first.error.contains("finished steps are kept for --resume"), "\(first.error)")
    let file = "adapter/adapter_model.safetensors"
    var contents = try folder.read(file)
    contents[contents.count - 1] ^= 1
    try folder.write(file, contents)
    let second = try Program.run("convert", "recipe.yaml", "--resume", "--quiet", in: folder)
    #expect(second.code == 64)
    #expect(second.error.contains("--resume: the input '\(file)' has changed"), "\(second.error)")
  }

  @Test func `plans without writing`() throws {
    let folder = try folder()
    let output = try succeed("merge", "model", "adapter", "out.rilq", "--dry-run", in: folder).output
    #expect(output.contains("model.layers.1.self_attn.q_proj: merged adapter of rank 4, 32.8 kB -> 32.8 kB"))
    #expect(try folder.names() == ["adapter", "model"])
  }

  @Test func `refuses an output inside the adapter`() throws {
    let result = try Program.run("merge", "model", "adapter", "adapter/out.rilq", in: folder())
    #expect(result.code == 2)
    #expect(result.error.contains("is inside the input 'adapter'"))
  }

  @Test(arguments: [["model"], ["model", "adapter", "out", "more"]])
  func `refuses another number of paths`(paths: [String]) throws {
    let result = try Program(["merge"] + paths, in: folder()).wait()
    #expect(result.code == 64)
    #expect(result.error.contains("a base, an adapter and an output"))
  }

  @Test func `a recipe merges an adapter of its folder`() throws {
    let folder = try folder()
    try folder.write(
      "recipes/r.yaml", "input: ../model\noutput: ../out.rilq\npasses:\n  - merge: {adapter: ../adapter}\n")
    try succeed("convert", "recipes/r.yaml", in: folder)
    let merged = try Checkpoint.open(path: folder.path("out.rilq"))
    #expect(merged.contents.metadata["history"]?.array?.first?["adapters"]?.array?.count == 2)
  }
}
