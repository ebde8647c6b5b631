import Checkpoints
import Foundation
import Models
import Passes
import TestSupport
import Testing

/// Models on grids with zero points, in the formats of other programs.
@Suite struct ZeroPointOutputTests {
  static let grids: [QuantizeGrid] = [.zeroPoint, .portable, .symmetric]
  static let integerFormats: [OutputFormat] = [.gptq, .gptqV2, .autoRound, .compressedTensors]

  private let bench: Workbench

  init() throws {
    bench = try Workbench(
      TinyModel {
        $0.hiddenSize = 128
        $0.intermediateSize = 128
      })
  }

  private func quantize(
    _ grid: QuantizeGrid, bits: Int = 2, groupSize: Int = 64, tables: DType = .f16, to name: String
  ) throws -> Checkpoint {
    try bench.run(
      .quantize(
        QuantizeOptions {
          $0.method = .search
          $0.grid = grid
          $0.bits = bits
          $0.groupSize = groupSize
          $0.tables = tables
        }), to: name
    ).checkpoint
  }

  private func convert(
    _ path: String, to name: String, _ format: OutputFormat, _ passes: [PassOptions] = []
  ) throws -> Checkpoint {
    let recipe = Recipe(
      input: PathOption(path), output: PathOption(bench.folder.path(name)), outputFormat: format,
      passes: passes)
    let report = try Pipeline(recipe, Pipeline.Options(version: "0.0.0")).run()
    let checkpoint = try Checkpoint.open(path: bench.folder.path(name))
    #expect(report.bitsPerWeight == checkpoint.storedSizes.bitsPerWeight)
    return checkpoint
  }

  @Test(arguments: grids, integerFormats + [.mlx, .safetensors])
  func `hold the same weights`(grid: QuantizeGrid, format: OutputFormat) throws {
    let packed = try quantize(grid, to: "packed.rilq")
    let found = try convert(packed.path, to: "out", format)
    #expect(try found.logits(sampleTokens) == packed.logits(sampleTokens))
    let module = "model.layers.0.mlp.down_proj"
    let weight = try #require(try found.quantizedWeight(of: module))
    let expected = try #require(try packed.quantizedWeight(of: module))
    #expect(weight.scales == expected.scales && weight.biases == expected.biases)
    #expect(weight.codes.withSpan { $0.copiedBytes() } == expected.codes.withSpan { $0.copiedBytes() })
  }

  @Test(arguments: grids) func `compressed-tensors stores zero points unless all are the middle`(
    grid: QuantizeGrid
  ) throws {
    let packed = try quantize(grid, to: "packed.rilq")
    _ = try convert(packed.path, to: "out", .compressedTensors)
    let file = try SafetensorsFile(path: bench.folder.path("out/model.safetensors"))
    let names = file.header.tensors.map(\.name)
    #expect(names.contains { $0.hasSuffix("weight_zero_point") } == (grid != .symmetric))
    let text = try String(decoding: bench.folder.read("out/config.json"), as: UTF8.self)
    #expect(text.contains("\"symmetric\": \(grid == .symmetric)"))
  }

  @Test func `a recipe writes zero points at once`() throws {
    let pass = PassOptions.quantize(
      QuantizeOptions {
        $0.grid = .zeroPoint
        $0.tables = .f16
      })
    let found = try convert(bench.input.path, to: "out", .gptq, [pass])
    #expect(found.contents.quantization.count > 0)
  }

  @Test(arguments: integerFormats)
  func `a plan refuses tables that integers do not hold`(format: OutputFormat) throws {
    let pass = PassOptions.quantize(QuantizeOptions { $0.tables = .f16 })
    let recipe = Recipe(
      input: PathOption(bench.input.path), output: PathOption(bench.folder.path("out")),
      outputFormat: format, passes: [pass])
    let error = #expect(throws: FormatError.self) {
      try Pipeline(recipe, Pipeline.Options(version: "0.0.0")).plan()
    }
    #expect(error?.description.contains("--grid zero_point") == true)
    let lossy = Pipeline.Options(version: "0.0.0", isLossy: true)
    #expect(try Pipeline(recipe, lossy).plan().passes.count == 1)
  }

  @Test func `a plan refuses scales that GPTQ does not hold`() throws {
    let pass = PassOptions.quantize(QuantizeOptions { $0.grid = .portable })
    let recipe = Recipe(
      input: PathOption(bench.input.path), output: PathOption(bench.folder.path("out")), outputFormat: .gptq,
      passes: [pass])
    let error = #expect(throws: FormatError.self) {
      try Pipeline(recipe, Pipeline.Options(version: "0.0.0")).plan()
    }
    #expect(error?.description.contains("--tables f16") == true)
  }

  @Test(arguments: [
    (QuantizeGrid.portable, 2, 64, "Q2_0", 2.25), (.portable, 2, 128, "Q2_0", 2.25),
    (.symmetric, 2, 64, "Q2_0", 2.25), (.symmetric, 4, 32, "Q4_0", 4.5), (.symmetric, 8, 64, "Q8_0", 8.5),
    (.symmetric, 3, 64, "Q4_1", 5), (.portable, 2, 32, "Q4_1", 5),
  ])
  func `GGUF holds them in the smallest type that is made for them`(
    grid: QuantizeGrid, bits: Int, groupSize: Int, type: String, size: Double
  ) throws {
    let packed = try quantize(grid, bits: bits, groupSize: groupSize, to: "packed.rilq")
    let found = try bench.run(on: packed, to: "out.gguf").checkpoint
    #expect(try found.logits(sampleTokens) == packed.logits(sampleTokens))
    let module = "model.layers.0.mlp.down_proj"
    #expect(found.contents.quantization[module] == .affine(bits: bits, groupSize: groupSize))
    let codes = try #require(found.tensor(named: module + ".weight"))
    #expect(found.storedForm(of: codes)?.type == type)
    #expect(found.storedSizes.bitsPerWeight == size)
    // In one run, too: the plan knows the zero points that there will be.
    let pass = PassOptions.quantize(
      QuantizeOptions {
        $0.grid = grid
        $0.bits = bits
        $0.groupSize = groupSize
        $0.tables = .f16
      })
    #expect(try bench.run(pass, to: "once.gguf").checkpoint.storedSizes.bitsPerWeight == size)
  }

  @Test func `Q2_0 holds the zero point 2 with codes in the opposite order`() throws {
    let packed = try quantize(.portable, to: "packed.rilq")
    let found = try bench.run(on: packed, to: "out.gguf").checkpoint
    let module = "model.layers.0.mlp.down_proj"
    let before = try #require(try packed.quantizedWeight(of: module))
    let after = try #require(try found.quantizedWeight(of: module))
    let zeroPoints = try #require(before.zeroPoints).values
    #expect(Set(zeroPoints) == [1, 2])
    for (group, zero) in zeroPoints.enumerated() {
      #expect(after.scales[group] == (zero == 1 ? before.scales[group] : -before.scales[group]))
      #expect(after.biases[group] == -after.scales[group])
    }
  }

  @Test func `a plan refuses zero points that GGUF may not hold`() throws {
    let pass = PassOptions.quantize(
      QuantizeOptions {
        $0.grid = .zeroPoint
        $0.tables = .f16
      })
    let error = #expect(throws: FormatError.self) { try bench.run(pass, to: "out.gguf") }
    #expect(error?.description.contains("--grid portable") == true)
  }

  /// The share of the logits' spread by which a library may differ that multiplies in half precision.
  private static let halfTolerance: Float = 0.02
  /// The share for products in single precision.
  private static let singleTolerance: Float = 1e-5

  private func expectSame(
    _ found: [Float], _ packed: Checkpoint, _ tolerance: Float, rounding: InputRounding = .f32
  ) throws {
    let tokens = Array(sampleTokens.prefix(16))
    let expected = try packed.logits(tokens, rounding: rounding).suffix(found.count)
    #expect(found.count == 1024)
    let largest = zip(found, expected).map { abs($0 - $1) }.max() ?? .infinity
    let spread = (expected.max() ?? 0) - (expected.min() ?? 0)
    #expect(spread > 0.1 && largest < tolerance * spread, "\(largest) of \(spread)")
  }

  /// The logits after some tokens in transformers.
  private func transformersLogits(_ name: String) throws -> [Float] {
    let tokens = sampleTokens.prefix(16).map { "\($0)" }
    let output = try PythonPeer.runReader("transformers_logits.py", [bench.folder.path(name)] + tokens)
    return output.split(separator: "\n").filter { $0.hasPrefix("logit ") }.compactMap {
      Float($0.dropFirst("logit ".count))
    }
  }

  @Test(
    .enabled(
      if: PythonPeer.has("transformers", "torch", "compressed_tensors"),
      "skipped: no Python with transformers and compressed_tensors"), arguments: grids)
  func `compressed-tensors computes the same logits`(grid: QuantizeGrid) throws {
    let packed = try quantize(grid, to: "packed.rilq")
    _ = try convert(packed.path, to: "out", .compressedTensors)
    try expectSame(try transformersLogits("out"), packed, Self.singleTolerance)
  }

  @Test(
    .enabled(
      if: PythonPeer.has("transformers", "torch", "auto_round"),
      "skipped: no Python with transformers and auto_round"), arguments: grids)
  func `AutoRound computes the same logits`(grid: QuantizeGrid) throws {
    let packed = try quantize(grid, to: "packed.rilq")
    _ = try convert(packed.path, to: "out", .autoRound)
    try expectSame(try transformersLogits("out"), packed, Self.halfTolerance)
  }

  @Test(
    .enabled(
      if: PythonPeer.hasByChance("transformers", "torch", "optimum", "gptqmodel"),
      "skipped: no Python with transformers, optimum and gptqmodel"), arguments: grids,
    [OutputFormat.gptq, .gptqV2])
  func `GPTQModel computes the same logits`(grid: QuantizeGrid, format: OutputFormat) throws {
    let packed = try quantize(grid, to: "packed.rilq")
    _ = try convert(packed.path, to: "out", format)
    try expectSame(try transformersLogits("out"), packed, Self.halfTolerance)
  }

  @Test(
    .enabled(if: PythonPeer.has("mlx_lm", "numpy"), "skipped: no Python with mlx_lm and numpy"),
    arguments: grids)
  func `mlx-lm finds the same weights and generates`(grid: QuantizeGrid) throws {
    let packed = try quantize(grid, to: "packed.rilq")
    _ = try convert(packed.path, to: "out", .mlx)
    let result = try PythonPeer.runScript("check-mlx.py", bench.folder.path("out"), "4")
    #expect(result.code == 0 && result.text.contains("modules equal"), "\(result.text)")
  }

  @Test(
    .enabled(if: PythonPeer.has("xllamacpp"), "skipped: no Python with xllamacpp"),
    arguments: [
      QuantizeGrid.portable, .symmetric,
    ])
  func `llama.cpp computes the same probabilities from Q2_0`(grid: QuantizeGrid) throws {
    let packed = try quantize(grid, to: "packed.rilq")
    try bench.run(on: packed, to: "out.gguf")
    let tokens = Array(sampleTokens.prefix(16))
    let output = try PythonPeer.runReader(
      "llama_cpp.py", [bench.folder.path("out.gguf")] + tokens.map { "\($0)" })
    let found = output.split(separator: "\n").compactMap { Float($0) }
    // Logarithms of probabilities are logits less a number, and the sum of both is that of all tokens.
    let logits = try packed.logits(tokens, rounding: .int8).suffix(found.count)
    let total = Float(log(logits.reduce(0) { $0 + exp(Double($1)) }))
    // With inputs that are not rounded the difference is 0.014 and more.
    try expectSame(found.map { $0 + total }, packed, 0.008, rounding: .int8)
  }
}
