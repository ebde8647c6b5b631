import Checkpoints
import Models
import Passes
import TestSupport
import Testing

@Suite struct NormalFloatTests {
  @Test func `each weight becomes the nearest of four values times its group's magnitude`() throws {
    let group: [Float] = [2, -2, -1.01, -0.99, 0.33, 0.34, 1.33, 1.34]
    let middle = NormalFloat.codebook[2] * 2
    #expect(try NormalFloat(groupSize: 8).rounded(group) == [2, -2, -2, 0, 0, middle, middle, 2])
    #expect(NormalFloat.codebook == [-1, 0, 0.33791519, 1])
  }

  @Test func `groups do not know of each other, and one of zeros stays zero`() throws {
    let weights: [Float] = [0, 0, 1, 0.2, -8, 3]
    let middle = NormalFloat.codebook[2]
    #expect(try NormalFloat(groupSize: 2).rounded(weights) == [0, 0, 1, middle, -8, middle * 8])
  }

  @Test func `weights stay dense in their own type, and plan and report say so`() throws {
    let bench = try Workbench()
    let options = QuantizeOptions { $0.method = .nf2 }
    let output = try bench.run(.quantize(options), to: "nf2.rilq")
    #expect(output["stored"] == .string("dense") && output["modules"] == .integer(14))
    #expect(output.checkpoint.contents.quantization.isEmpty)
    #expect(output.checkpoint.contents.tensors == bench.input.contents.tensors)
    let name = "model.layers.0.mlp.up_proj.weight"
    let values = try Fixtures.floats(name, in: output.checkpoint)
    #expect(Set(values.prefix(64)).count <= 4)
    let found = relativeError(values, try Fixtures.floats(name, in: bench.input))
    #expect(found > 0.2 && found < 0.6)
    try expectSameTensors(bench.input, output.checkpoint) { $0.contains("proj") }
    let recipe = Recipe(
      input: PathOption(bench.input.path), output: PathOption(bench.folder.path("plan.rilq")),
      passes: [.quantize(options)])
    let plan = try Pipeline(recipe, Pipeline.Options(version: "0.0.0")).plan()
    #expect(plan.passes[0].changes.count == 14)
    #expect(plan.passes[0].changes[0].action == "nf2, groups of 64, written dense as BF16")
  }

  @Test func `a weight that is not finite is refused by its index`() throws {
    let name = "model.layers.1.mlp.up_proj.weight"
    let bench = try Workbench { tensor, values in
      if tensor == name { values[128 * 70 + 5] = .nan }
    }
    #expect(throws: PassError.notFinite(tensor: name, index: 128 * 70 + 5)) {
      try bench.run(
        .quantize(QuantizeOptions { $0.method = .nf2 }))
    }
  }

  @Test(arguments: [
    ("text: a.txt", "… 'nf2' … 'text'"),
    ("text: a.txt, refit: true", "… 'nf2' … 'text'"),
    ("bits: 2", "'bits' … 'nf2'"),
    ("tables: bf16", "'tables' … 'nf2'"),
    ("overrides: [{targets: ['*'], bits: 4}]", "'bits' … 'nf2'"),
  ])
  func `refuses options without effect`(options: String, expected: String) {
    let found = message { _ = try parse(recipeText(passes: "quantize: {method: nf2, \(options)}")) }
    #expect(found.says("recipes/r.yaml: line 4: key 'passes.0.quantize': " + expected))
  }

  @Test func `a recipe writes it so that it reads back`() throws {
    let recipe = try parse(recipeText(passes: "quantize: {method: nf2, group_size: 32}"))
    #expect(try parse(recipe.resolvedYAML()) == recipe)
  }
}
