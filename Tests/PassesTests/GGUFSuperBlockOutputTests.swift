import Checkpoints
import Foundation
import Models
import Passes
import TestSupport
import Testing

/// GGUF files of models that `quantize` puts into super-blocks.
@Suite struct GGUFSuperBlockOutputTests {
  static let grids = QuantizeGrid.allCases.filter { $0.superBlock != nil }

  private let bench: Workbench

  init() throws {
    bench = try Workbench(
      TinyModel {
        $0.hiddenSize = 256
        $0.intermediateSize = 256
      })
  }

  private func quantize(
    _ grid: QuantizeGrid, on input: Checkpoint? = nil, to name: String
  ) throws -> Checkpoint {
    try bench.run(.quantize(QuantizeOptions { $0.grid = grid }), on: input, to: name).checkpoint
  }

  @Test(arguments: grids) func `are read back with the same tensors and logits`(grid: QuantizeGrid) throws {
    let packed = try quantize(grid, to: "packed.rilq")
    let found = try bench.run(on: packed, to: "out.gguf").checkpoint
    #expect(found.contents.quantization == packed.contents.quantization)
    #expect(found.contents.notices.isEmpty)
    try expectSameTensors(found, packed)
    #expect(try found.logits(sampleTokens) == packed.logits(sampleTokens))
  }

  @Test(arguments: grids) func `a model that keeps steps generates the same tokens`(grid: QuantizeGrid) throws
  {
    let packed = try quantize(grid, to: "packed.rilq")
    let model = try Transformer(packed)
    let kept = try Transformer(packed, keepingSteps: true)
    for (linear, other) in zip(model.layerLinears, kept.layerLinears) {
      let (tables, others) = (try #require(linear.weight.packed), try #require(other.weight.packed))
      #expect(others.layout == tables.layout)
      #expect(others.scales.isEmpty == (grid == .q2K) && others.biases.isEmpty == (grid == .q2K))
      #expect(other.weight.floats(rows: 3..<40) == linear.weight.floats(rows: 3..<40))
    }
    for products in GenerationProducts.allCases {
      let texts = try [model, kept].map {
        try $0.generate(
          from: Array(sampleTokens.prefix(40)), maxTokens: 12, sampling: SamplingOptions(), endTokens: [],
          products: products
        ).tokens
      }
      #expect(texts[0].count == 12 && texts[0] == texts[1])
    }
  }

  @Test func `blocks of more bits are quantized again`() throws {
    let wide = try quantize(.q4K, to: "wide.gguf")
    let narrow = try quantize(.q2K, on: wide, to: "narrow.gguf")
    #expect(narrow.contents.quantization.values.allSatisfy { $0 == .superBlock(.q2K) })
    #expect(narrow.contents.quantization.count == wide.contents.quantization.count)
  }

  @Test func `a plan refuses a type that the quantized linears will not have`() throws {
    let recipe = Recipe(
      input: PathOption(bench.folder.path("model")), output: PathOption(bench.folder.path("out.gguf")),
      passes: [.quantize(QuantizeOptions { $0.grid = .q2K })])
    #expect(
      try Pipeline(recipe, Pipeline.Options(version: "0.0.0", ggufType: .q2K)).plan().passes.count == 1)
    let error = #expect(throws: FormatError.self) {
      try Pipeline(recipe, Pipeline.Options(version: "0.0.0", ggufType: .q4K, isLossy: true)).plan()
    }
    #expect(error?.description.contains("Q4_K does not hold codes of 2 bits in blocks of q2_k") == true)
  }

  /// The part of the logits' spread by which a logarithm may differ.
  ///
  /// These random models answer the rounding of inputs to 8 bits with 0.025 of the spread.
  private static let tolerance: Float = 0.002

  @Test(
    .enabled(if: PythonPeer.has("xllamacpp"), "skipped: no Python with xllamacpp"), arguments: grids)
  func `llama.cpp computes the same probabilities`(grid: QuantizeGrid) throws {
    let packed = try quantize(grid, to: "packed.rilq")
    try bench.run(on: packed, to: "out.gguf")
    let tokens = Array(sampleTokens.prefix(16))
    let output = try PythonPeer.runReader(
      "llama_cpp.py", [bench.folder.path("out.gguf")] + tokens.map { "\($0)" })
    let found = output.split(separator: "\n").compactMap { Float($0) }
    let logits = try packed.logits(tokens, rounding: .int8).suffix(found.count)
    let total = log(logits.reduce(0) { $0 + exp(Double($1)) })
    let expected = logits.map { $0 - Float(total) }
    #expect(found.count == 1024)
    let largest = zip(found, expected).map { abs($0 - $1) }.max() ?? .infinity
    let spread = (expected.max() ?? 0) - (expected.min() ?? 0)
    #expect(spread > 1 && largest < Self.tolerance * spread, "\(largest) of \(spread)")
  }
}
