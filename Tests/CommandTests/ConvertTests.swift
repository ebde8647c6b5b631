import Checkpoints
import Foundation
import TestSupport
import Testing

@Suite struct ConvertTests {
  @Test func `runs the whole job from a recipe and keeps it in the output`() throws {
    let folder = try folderWithFixture()
    try writeFullRecipe(to: folder)
    try succeed("convert", "recipe.yaml", in: folder)
    #expect(
      try folder.names() == ["model", "out.rilq", "out.rilq.results.json", "recipe.yaml", "text.txt"])
    let output = try Checkpoint.open(path: folder.path("out.rilq"))
    #expect(output.contents.adapter == nil)
    let recipe = output.contents.metadata["history"]?.array?.first?["recipe"]
    #expect(recipe?["input"]?.string == "model")
    #expect(
      recipe?["passes"]?.array?.map(\.keys) == [
        ["quantize"], ["attach"], ["calibrate"], ["merge"], ["verify"],
      ])
  }

  @Test func `a recipe is found relative to its own folder`() throws {
    let folder = try folderWithModel()
    try folder.write("recipes/r.yaml", "input: ../model\noutput: ../out.rilq\npasses:\n  - quantize: {}\n")
    try succeed("convert", "recipes/r.yaml", in: folder)
    #expect(try folder.names().contains("out.rilq"))
  }

  @Test func `the recipe that is written does the same again`() throws {
    let folder = try folderWithModel()
    try succeed(
      "convert", "model", "a.rilq", "--pass", "quantize: {bits: 4}", "--pass", "attach", "--write-recipe",
      "r.yaml", in: folder)
    try succeed("convert", "r.yaml", "--set", "output=b.rilq", in: folder)
    let (a, b) = (
      try Checkpoint.open(path: folder.path("a.rilq")), try Checkpoint.open(path: folder.path("b.rilq"))
    )
    #expect(a.contents.tensors == b.contents.tensors)
    for tensor in a.contents.tensors {
      #expect(try a.copiedBytes(of: tensor.name) == b.copiedBytes(of: tensor.name))
    }
  }

  @Test func `a runtime chooses the format and the grid`() throws {
    let folder = try TemporaryFolder()
    try TinyModel {
      $0.hiddenSize = 256
      $0.intermediateSize = 512
    }.write(to: folder.path("model"))
    try succeed("convert", "model", "a.rilq", "--for", "rilq", "--pass", "quantize", in: folder)
    try succeed("convert", "model", "b", "--for", "mlx", "--pass", "quantize", in: folder)
    let (a, b) = (
      try Checkpoint.open(path: folder.path("a.rilq")), try Checkpoint.open(path: folder.path("b"))
    )
    #expect(a.contents.quantization == b.contents.quantization)
    #expect(a.contents.quantization.values.allSatisfy { $0 == .affine(bits: 2, groupSize: 64) })
  }

  @Test(arguments: [["a${b}", "a${c}.rilq"], ["a: b", "{x}.rilq"], ["1", "~.rilq"]])
  func `a path on the command line is only a path`(paths: [String]) throws {
    let folder = try TemporaryFolder()
    try TinyModel().write(to: folder.path(paths[0]))
    try succeed(
      "convert", paths[0], paths[1], "--pass", "quantize", "--write-recipe", "r.yaml", in: folder)
    #expect(try folder.names() == [paths[0], paths[1], paths[1] + ".results.json", "r.yaml"].sorted())
    try succeed("convert", "r.yaml", "--force", in: folder)
  }

  @Test(arguments: [
    (["model"], "the output is missing: rilq convert model model-2bit.rilq --recipe fast"),
    (["./model/"], "the output is missing: rilq convert ./model/ model-2bit.rilq --recipe fast"),
    (["x.gguf", "--recipe", "best"], "the output is missing: rilq convert x.gguf x-2bit.rilq --recipe best"),
    (["a/x.gguf"], "the output is missing: rilq convert a/x.gguf x-2bit.rilq --recipe fast"),
    (["r.yaml", "--recipe", "fast"], "r.yaml is a recipe itself: rilq convert r.yaml, or"),
    ([], "the recipe, or the input and the output, are missing: rilq convert INPUT OUTPUT --recipe fast"),
    (["a", "b", "c"], "3 paths are given; a recipe, or an input and an output, are expected"),
    (
      ["a", "b", "--text", "t"],
      "--text goes with a recipe: rilq convert INPUT OUTPUT --recipe fast --text FILE"
    ),
    (["a", "b", "--recipe", "fast", "--pass", "merge"], "--recipe has passes of its own; leave out --pass"),
    (["a", "b", "--write-recipe", "b"], "--write-recipe b: is another file of this run"),
    (
      ["a", "b", "--for", "ollama"],
      "The value 'ollama' is invalid for '--for <runtime>': expected rilq or mlx or llama.cpp or gptq or vllm"
    ),
    (
      ["a", "b", "--for", "mlx", "--to", "gguf"],
      "--for mlx: chooses the format, and so does --to; leave out one"
    ),
    (["a", "b", "--set", "input=c"], "--set input=c: the arguments INPUT and OUTPUT say that already"),
  ])
  func `wrong usage says what is missing and what would work`(arguments: [String], expected: String) throws {
    let folder = try folderWithModel()
    let result = try Program(["convert"] + arguments, in: folder).wait()
    #expect(result.code == 64)
    #expect(try folder.names() == ["model"])
    #expect(result.error.hasPrefix("Error: " + expected), "\(result.error)")
  }

  @Test func `--set changes a value of the recipe by its path`() throws {
    let folder = try folderWithModel()
    try folder.write("r.yaml", "input: model\noutput: out.rilq\npasses:\n  - quantize: {bits: 2}\n")
    try succeed("convert", "r.yaml", "--set", "passes.0.quantize.bits=8", in: folder)
    let output = try Checkpoint.open(path: folder.path("out.rilq"))
    #expect(output.contents.quantization.values.allSatisfy { $0.bits == 8 })
  }

  @Test func `--force replaces an existing output`() throws {
    let folder = try folderWithModel()
    try folder.write("out.rilq", "old")
    try succeed("quantize", "model", "out.rilq", "--force", in: folder)
    #expect(try Checkpoint.open(path: folder.path("out.rilq")).contents.quantization.count == 14)
  }

  @Test func `writes a folder with its assets`() throws {
    let folder = try folderWithModel()
    try succeed("quantize", "model", "out", in: folder)
    #expect(try folder.read("out/tokenizer.json") == folder.read("model/tokenizer.json"))
    #expect(try Checkpoint.open(path: folder.path("out")).contents.quantization.count == 14)
  }

  @Test func `--threads sets how many threads there are`() throws {
    let folder = try folderWithModel()
    try succeed("quantize", "model", "q.rilq", in: folder)
    // Each thread of a calibration has a window of its own in memory.
    let memory = try [1, 3, 5].map { threads in
      let plan = try succeed(
        "calibrate", "q.rilq", "out.rilq", "--text", calibrationText, "--dry-run", "--json", "--threads",
        "\(threads)", in: folder)
      let json = try JSONValue(parsing: Array(plan.output.utf8))
      return try #require(json["passes"]?.array?.first?["memory_bytes"]?.integer)
    }
    // What is trained is there once.
    let window = (memory[1] - memory[0]) / 2
    #expect(window > 0 && memory[0] > window)
    #expect(memory[2] - memory[1] == 2 * window)
  }

  @Test func `the bytes are the same on one thread and on two`() throws {
    let folders = try ["1", "2"].map { threads in
      let folder = try folderWithModel()
      try succeed("quantize", "model", "q.rilq", "--threads", threads, in: folder)
      try succeed("attach", "q.rilq", "a.rilq", "--rank", "4", "--threads", threads, in: folder)
      _ = try Checkpoint.open(path: folder.path("a.rilq")).copy(to: folder.path("b.rilq")) { name, values in
        guard name.hasSuffix(".lora_B.weight") else { return }
        for i in values.indices { values[i] = Float(i % 7) - 3 }
      }
      try succeed("merge", "b.rilq", "m.rilq", "--threads", threads, in: folder)
      return folder
    }
    for name in ["q.rilq", "a.rilq", "m.rilq"] {
      #expect(try folders[0].read(name) == folders[1].read(name), "\(name)")
    }
  }
}
