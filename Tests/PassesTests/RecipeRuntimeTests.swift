import Passes
import TestSupport
import Testing

@Suite struct RecipeRuntimeTests {
  private func quantize(_ passes: String, for runtime: Runtime) throws -> QuantizeOptions {
    let recipe = try parse(recipeText(passes: passes)).targeting(runtime)
    #expect(recipe.outputFormat == runtime.format)
    return try #require(recipe.passes[0].options(of: QuantizePass.self))
  }

  @Test(arguments: [(2, QuantizeGrid.q2K), (3, .q3K), (4, .q4K), (5, .q5K), (6, .q6K)])
  func `llama.cpp gets the super-blocks of as many bits`(bits: Int, grid: QuantizeGrid) throws {
    let options = try quantize("quantize: {bits: \(bits), group_size: 32, tables: f16}", for: .llamaCpp)
    #expect(options.grid == grid && options.fallbackBits == 4)
    // What is written must be read again: a grid has no bits and groups beside it.
    let recipe = try parse(recipeText(passes: "quantize: {bits: \(bits)}")).targeting(.llamaCpp)
    #expect(try parse(recipe.resolvedYAML()) == recipe)
  }

  @Test(arguments: [
    "quantize: {bits: 8}", "quantize: {grid: q4_k}", "quantize: {method: nf2}",
    "quantize: {bits: 2, embedding_bits: 8}",
  ])
  func `a step that says what it wants keeps it`(pass: String) throws {
    let before = try #require(parse(recipeText(passes: pass)).passes[0].options(of: QuantizePass.self))
    #expect(try quantize(pass, for: .llamaCpp) == before)
  }

  @Test(arguments: [Runtime.rilq, .mlx])
  func `other runtimes hold free tables`(runtime: Runtime) throws {
    #expect(try quantize("quantize: {bits: 2}", for: runtime).grid == .affine)
  }

  @Test(arguments: [(Runtime.gptq, QuantizeGrid.zeroPoint), (.vllm, .symmetric)])
  func `GPTQ gets zero points and vLLM symmetric codes, with scales that they hold`(
    runtime: Runtime, grid: QuantizeGrid
  ) throws {
    let options = try quantize("quantize: {bits: 4, group_size: 32}", for: runtime)
    #expect(options.grid == grid && options.bits == 4 && options.groupSize == 32)
    #expect(options.tables == (runtime == .gptq ? .f16 : .bf16))
    let recipe = try parse(recipeText(passes: "quantize: {bits: 2}")).targeting(runtime)
    #expect(try parse(recipe.resolvedYAML()).passes == recipe.passes)
    let stated = "quantize: {grid: portable}"
    #expect(try quantize(stated, for: runtime).grid == .portable)
  }

  @Test func `rows that are no whole blocks get the fallback and are named`() throws {
    let bench = try Workbench(
      TinyModel {
        $0.hiddenSize = 128
        $0.intermediateSize = 512
      })
    let result = try bench.run(
      .quantize(
        QuantizeOptions {
          $0.grid = .q2K
          $0.fallbackBits = 4
        }))
    let quantization = result.checkpoint.contents.quantization
    let layer = "model.layers.0."
    #expect(quantization[layer + "mlp.down_proj"] == .superBlock(.q2K))
    #expect(quantization[layer + "mlp.up_proj"] == .affine(bits: 4, groupSize: 32))
    // Half precision, which the types of GGUF have.
    #expect(result.checkpoint.tensor(named: layer + "mlp.up_proj.scales")?.dtype == .f16)
    #expect(result["other_grids"]?[layer + "mlp.up_proj"]?.string == "4 bits, groups of 32")
    #expect(result["modules_on_other_grids"]?.integer == quantization.count - 2)
  }

  @Test func `a fallback without a grid of blocks is refused`() {
    #expect(throws: PassError.self) { try parse(recipeText(passes: "quantize: {fallback_bits: 4}")) }
  }
}
