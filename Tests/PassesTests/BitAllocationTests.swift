import Checkpoints
import Models
import Passes
import TestSupport
import Testing

@Suite struct BitAllocationTests {
  private static let text = PathOption(Fixtures.path("tiny-llama/calibration.txt"))

  private static let widths = [2, 3, 4]

  /// A module whose choices have 2, 3 and 4 bits.
  private func module(_ name: String, _ weightCount: Int, _ losses: [Double]) -> BitAllocation.Module {
    BitAllocation.Module(
      name: name,
      choices: zip(Self.widths, losses).map { bits, loss in
        BitAllocation.Choice(
          QuantizedLayout(bits: bits, groupSize: 64), cost: bits * weightCount, loss: loss)
      })
  }

  private func bits(_ modules: [BitAllocation.Module], budget: Int) -> [String: Int] {
    BitAllocation(modules, budget: budget).layouts.mapValues(\.bits)
  }

  /// The least loss that any assignment within a budget has, by trying all of them.
  private func leastLoss(_ modules: [BitAllocation.Module], budget: Int) -> Double {
    var least = Double.infinity
    for index in 0..<81 {
      let widths = [index / 27, index / 9 % 3, index / 3 % 3, index % 3]
      let cost = zip(modules, widths).reduce(0) { $0 + $1.0.choices[$1.1].cost }
      guard cost <= budget else { continue }
      least = min(least, zip(modules, widths).reduce(0) { $0 + $1.0.choices[$1.1].loss })
    }
    return least
  }

  @Test(arguments: [80, 90, 100, 110, 120, 130, 160])
  func `equal modules with convex losses get the best of all assignments`(budget: Int) {
    let modules = [
      module("a", 10, [8, 2, 0.5]), module("b", 10, [4, 1.5, 0.6]), module("c", 10, [1, 0.2, 0.1]),
      module("d", 10, [6, 5, 4.5]),
    ]
    let bits = bits(modules, budget: budget)
    let chosen = modules.compactMap { module in module.choices.first { $0.layout.bits == bits[module.name] } }
    let loss = chosen.reduce(0) { $0 + $1.loss }
    #expect(chosen.count == 4 && chosen.reduce(0) { $0 + $1.cost } <= budget)
    #expect(abs(loss - leastLoss(modules, budget: budget)) < 1e-12)
  }

  @Test func `a cheap module comes before an expensive one that gains as much`() {
    let modules = [module("large", 100, [4, 1, 0.9]), module("small", 10, [4, 1, 0.9])]
    #expect(bits(modules, budget: 230) == ["large": 2, "small": 3])
  }

  @Test func `a module that gains little by one bit may get two at once`() {
    let modules = [module("a", 10, [4, 3.9, 0]), module("b", 10, [4, 3, 2.9])]
    #expect(bits(modules, budget: 60) == ["a": 4, "b": 2])
  }

  @Test func `of equal modules the first one wins`() {
    let modules = ["a", "b", "c"].map { module($0, 10, [4, 1, 0.5]) }
    #expect(bits(modules, budget: 75) == ["a": 3, "b": 2, "c": 2])
  }

  private func budget(_ bitsPerWeight: Double, _ change: (inout QuantizeOptions) -> Void = { _ in })
    -> QuantizeOptions
  {
    var options = QuantizeOptions {
      $0.method = .search
      $0.tables = .bf16
      $0.texts = [Self.text]
      $0.samples = 8
      $0.length = 128
      $0.bitsPerWeight = bitsPerWeight
    }
    change(&options)
    return options
  }

  @Test func `distributed bits are better than as many bits everywhere`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let mixed = try bench.run(.quantize(budget(3.5)), to: "mixed.rilq")
    let even = try bench.run(
      .quantize(
        budget(3.5) {
          $0.bitsPerWeight = nil
          $0.bits = 3
        }), to: "even.rilq")
    #expect(even.checkpoint.contents.bitsPerWeight == 3.5)
    let found = mixed.checkpoint.contents.bitsPerWeight
    #expect(found <= 3.5 && found > 3.45)
    #expect(try perplexity(of: mixed.checkpoint) < perplexity(of: even.checkpoint))
    let counts = Self.widths.compactMap { mixed["modules_of_\($0)_bits"]?.integer }
    #expect(counts.count > 1 && counts.reduce(0, +) == 28)
    #expect(even["modules_of_3_bits"] == nil)
  }

  @Test func `a module whose bits are given keeps them`() throws {
    let bench = try Workbench()
    let override = QuantizeOverride(targets: try patterns("v_proj"), bits: 8)
    let output = try bench.run(.quantize(budget(3.5) { $0.overrides = [override] })).checkpoint
    let quantization = output.contents.quantization
    #expect(quantization["model.layers.0.self_attn.v_proj"]?.bits == 8)
    #expect(quantization.filter { $0.key.hasSuffix("v_proj") }.allSatisfy { $0.value.bits == 8 })
    #expect(output.contents.bitsPerWeight <= 3.5)
  }

  @Test func `modules that the text does not reach take part`() throws {
    let bench = try Workbench()
    let all = try patterns("*")
    let output = try bench.run(.quantize(budget(3.5) { $0.targets = all })).checkpoint
    #expect(output.contents.quantization.count == 16)
    #expect(output.contents.bitsPerWeight <= 3.5)
  }

  @Test func `the plan says that widths are yet to be found`() throws {
    let bench = try Workbench()
    let recipe = Recipe(
      input: PathOption(bench.input.path), output: PathOption(bench.folder.path("out.rilq")),
      passes: [.quantize(budget(3))])
    let plan = try Pipeline(recipe, Pipeline.Options(version: "0.0.0")).plan()
    #expect(plan.passes[0].changes[0].action == "search, 2, 3 or 4 bits, groups of 64")
  }

  @Test(arguments: [QuantizeGrid.affine, .q2K])
  func `a size holds all tensors, and embedding and head get their bits by sensitivity`(grid: QuantizeGrid)
    throws
  {
    let bench = try Workbench(
      TinyModel {
        $0.hiddenSize = 256
        $0.intermediateSize = 512
      })
    let least = try bench.run(
      .quantize(
        QuantizeOptions {
          $0.method = .search
          $0.grid = grid
          $0.tables = .bf16
          $0.embeddingBits = 2
        }), to: "least.rilq"
    ).checkpoint.contents
    let size = least.byteCount * 5 / 4
    func run(_ change: @escaping (inout QuantizeOptions) -> Void) throws -> CheckpointContents {
      let options = budget(3.5) {
        $0.bitsPerWeight = nil
        $0.grid = grid
        change(&$0)
      }
      return try bench.run(.quantize(options), force: true).checkpoint.contents
    }
    let bytes = try run { $0.size = size }
    #expect(bytes.byteCount <= size && bytes.byteCount > size * 97 / 100)
    #expect(bytes.quantization.count == least.quantization.count)
    #expect(bytes.quantization["lm_head"] != nil && bytes.quantization["model.embed_tokens"] != nil)
    #expect(Set(bytes.quantization.values).count > 1)
    #expect(bytes.quantization.values.allSatisfy { ($0.superBlock == nil) == (grid == .affine) })
    // The same budget in other words.
    let average = 8 * Double(size) / Double(bench.input.contents.parameterCount)
    #expect(try run { $0.bitsPerParameter = average }.quantization == bytes.quantization)
    let error = #expect(throws: PassError.self) { try run { $0.size = least.byteCount - 1 } }
    #expect(error?.description.contains("'size'") == true)
  }

  @Test func `a budget for a checkpoint takes the place of a recipe's bits`() throws {
    let recipe = try parse(
      recipeText(
        passes: "quantize: {method: search, text: a.txt, bits: 3, embedding_bits: 6}",
        "calibrate: {text: a.txt}"))
    let sized = try recipe.distributing(size: 75_000_000, bitsPerParameter: nil).targeting(.llamaCpp)
    let options = try #require(sized.passes[0].options(of: QuantizePass.self))
    #expect(options.size == 75_000_000 && options.embeddingBits == nil && options.grid == .q2K)
    #expect(try parse(sized.resolvedYAML()) == sized)
    #expect(throws: PassError.self) { try recipe.distributing(size: 1, bitsPerParameter: 3) }
    #expect(throws: PassError.self) { try recipe.distributing(size: nil, bitsPerParameter: 17) }
    for passes in ["merge: {}", "quantize: {bits: 2}"] {
      let other = try parse(recipeText(passes: passes))
      #expect(throws: PassError.self) { try other.distributing(size: 1_000_000, bitsPerParameter: nil) }
    }
  }

  @Test(arguments: [("75MB", 75_000_000), ("1.5kb", 1500), ("12", 12), ("2GB", 2_000_000_000)])
  func `a size has a decimal unit or none`(text: String, count: Int) throws {
    let recipe = try parse(recipeText(passes: "quantize: {method: gptq, text: a.txt, size: \(text)}"))
    #expect(recipe.passes[0].options(of: QuantizePass.self)?.size == count)
  }

  @Test(arguments: ["0", "-1MB", "75MiB", "MB", "''"]) func `anything else is no size`(text: String) {
    #expect(throws: PassError.self) {
      try parse(recipeText(passes: "quantize: {method: gptq, text: a.txt, size: \(text)}"))
    }
  }

  @Test func `a budget that two bits with their tables exceed is refused`() throws {
    let bench = try Workbench()
    let expected = PassError.usage(
      "quantize: 'bits_per_weight' is 2.5, but 2 bits with their tables take 3.00; tables of bf16 and larger "
        + "groups take fewer")
    #expect(throws: expected) { try bench.run(.quantize(budget(2.5) { $0.tables = .f32 })) }
    #expect(try bench.folder.names() == ["model"])
  }
}
