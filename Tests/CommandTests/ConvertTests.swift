import Checkpoints
import Foundation
import TestSupport
import Testing

@Suite struct ConvertTests {
  @Test func `runs the whole job from a recipe and keeps it in the output`() throws {
    let folder = try folderWithFixture()
    try writeFullRecipe(to: folder)
    try succeed("convert", "recipe.yaml", in: folder)
    #expect(try folder.names() == ["model", "out.rilq", "recipe.yaml", "text.txt"])
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
