import Checkpoints
import Foundation
import Kernels
import Models
import Passes
import TestSupport
import Testing

/// The grids `iq2_xs` and `iq2_s`; what they share with other super-blocks is tested with these.
@Suite struct LatticeQuantizationTests {
  private static let kinds: [SuperBlock] = [.iq2XS, .iq2S]
  private static let order = 512
  private static let text = PathOption(Fixtures.path("tiny-llama/calibration.txt"))

  private func bench() throws -> Workbench {
    try Workbench(
      TinyModel {
        $0.hiddenSize = 256
        $0.intermediateSize = 512
      })
  }

  /// `(wq - w) · S · (wq - w)ᵀ` of each row.
  private func errors(
    _ packed: PackedTensor, of weights: [Float], _ moments: SecondMoments
  ) throws -> [Double] {
    let blocks = try #require(packed.blocks)
    let weight = Weight(
      rows: weights.count / Self.order, columns: Self.order,
      values: .packed(PackedWeight(codes: TensorBytes(packed.codes), blocks: blocks)))
    let (values, means) = (weight.floats(rows: 0..<weight.rowCount), moments.means)
    return stride(from: 0, to: weights.count, by: Self.order).map { row in
      let errors = (row..<row + Self.order).map { Double(values[$0]) - Double(weights[$0]) }
      var sum = 0.0
      for i in errors.indices {
        for j in errors.indices { sum += errors[i] * means[i * Self.order + j] * errors[j] }
      }
      return sum
    }
  }

  @Test(arguments: kinds)
  func `error feedback lowers the error on correlated inputs, and sweeps lower it further`(
    kind: SuperBlock
  ) throws {
    let grid = QuantizationGrid(.superBlock(kind), tables: .f16)
    let sums = correlatedMoments(order: Self.order, rows: 700)
    let moments = MomentMatrix(sums)
    let weights = noise("weights", count: 16 * Self.order, size: 0.1)
    let rounded = try RoundToNearest(grid: grid).quantizeRows(weights, columns: Self.order)
    let searched = try ClipSearch(grid: grid, importance: sums.importance)
      .quantizeRows(weights, columns: Self.order)
    let feedback = try GPTQFeedback(moments: moments, damping: 0.01, activationOrder: false)
    let gptq = try GPTQ(grid: grid, feedback).quantizeRows(weights, columns: Self.order)
    let rows = try [rounded, searched, gptq].map { try errors($0, of: weights, sums) }
    let sizes = rows.map { $0.reduce(0, +) }
    #expect(sizes[2] < 0.7 * min(sizes[0], sizes[1]), "\(sizes)")
    var (last, refined) = (rows[2], gptq)
    for sweep in 0..<8 {
      let steps = Refinement.Steps(refits: false, sweeps: 1)
      Refinement(grid: grid, moments: moments, steps: steps).refine(&refined, of: weights)
      let rows = try errors(refined, of: weights, sums)
      #expect(sweep >= 2 || rows.reduce(0, +) < last.reduce(0, +))
      // Later sweeps change nothing in rows that are done.
      #expect(zip(rows, last).allSatisfy { $0 <= $1 * (1 + 1e-6) }, "sweep \(sweep)")
      last = rows
    }
  }

  /// llama.cpp's own quantizers reach 10.47 and 12.11 dB on normally distributed weights.
  @Test(arguments: [(SuperBlock.iq2XS, 10.47), (.iq2S, 12.11)])
  func `loses no more of normally distributed weights than llama.cpp`(
    kind: SuperBlock, decibels: Double
  ) throws {
    // The sum of 12 uniform numbers is nearly normal.
    let parts = noise("weights", count: 12 * 128 * Self.order, size: 0.1)
    let weights = (0..<128 * Self.order).map { i in (0..<12).reduce(0) { $0 + parts[12 * i + $1] } }
    let grid = QuantizationGrid(.superBlock(kind), tables: .f16)
    let search = ClipSearch(grid: grid)
    let packed = try search.quantize(rows: 128, columns: Self.order, name: "w") { rows, part in
      for i in part.indices { part[i] = weights[rows.lowerBound * Self.order + i] }
    }
    #expect(10 * log10(packed.squaredNorm / packed.squaredError) > decibels - 0.05)
  }

  @Test(arguments: kinds) func `a row of zeros stays one, and a NaN is named`(kind: SuperBlock) throws {
    let grid = QuantizationGrid(.superBlock(kind), tables: .f16)
    var weights = noise("weights", count: 2 * Self.order, size: 0.1)
    for i in 0..<Self.order { weights[i] = 0 }
    for quantizer: any RowQuantizer in [RoundToNearest(grid: grid), ClipSearch(grid: grid)] {
      let packed = try quantizer.quantizeRows(weights, columns: Self.order)
      #expect(packed.scales[..<32].allSatisfy { $0 == 0 } && packed.scales[32...].allSatisfy { $0 > 0 })
      var damaged = weights
      damaged[700] = .nan
      #expect(throws: UnusableWeight.self) { try quantizer.quantizeRows(damaged, columns: Self.order) }
    }
  }

  @Test func `is mixed with other grids, and a folder and a container hold the same`() throws {
    let bench = try bench()
    let recipe = try parse(
      recipeText(
        passes: "quantize: {grid: iq2_xs, overrides: [{targets: [v_proj], grid: iq2_s}, "
          + "{targets: [o_proj], grid: q4_k}, {targets: [q_proj], bits: 4}]}"))
    #expect(try parse(recipe.resolvedYAML()) == recipe)
    let container = try bench.run(recipe.passes[0]).checkpoint
    let layer = "model.layers.0."
    let expected: [String: QuantizedLayout] = [
      "self_attn.k_proj": .superBlock(.iq2XS), "self_attn.v_proj": .superBlock(.iq2S),
      "self_attn.o_proj": .superBlock(.q4K), "self_attn.q_proj": .affine(bits: 4, groupSize: 64),
      "mlp.down_proj": .superBlock(.iq2XS),
    ]
    for (module, layout) in expected { #expect(container.contents.quantization[layer + module] == layout) }
    let folder = try bench.run(on: container, to: "folder").checkpoint
    #expect(folder.contents.quantization == container.contents.quantization)
    try expectSameTensors(folder, container)
    #expect(try folder.logits(sampleTokens) == container.logits(sampleTokens))
    #expect(try Inspection(folder).text.contains("2 bits in blocks of iq2_xs"))
  }

  @Test func `a budget gives modules lattices or other blocks`() throws {
    let bench = try bench()
    let result = try bench.run(
      .quantize(
        QuantizeOptions {
          $0.grid = .iq2XS
          $0.method = .gptq
          $0.texts = [Self.text]
          $0.samples = 4
          $0.length = 64
          $0.bitsPerWeight = 2.5
        })
    ).checkpoint
    #expect(result.contents.bitsPerWeight <= 2.5 && result.contents.bitsPerWeight > 2.3125)
    #expect(result.contents.quantization.values.contains(.superBlock(.iq2XS)))
  }

  @Test(arguments: [
    ("method: hqq", "hqq"), ("method: gptq, text: t.txt, activation_order: true", "activation_order"),
    ("bits: 2", "bits"), ("group_size: 32", "group_size"),
  ])
  func `refuses what points do not have`(options: String, word: String) {
    for grid in ["grid: iq2_xs", "overrides: [{targets: [v_proj], grid: iq2_s}]"]
    where grid.hasPrefix("grid") || !["bits", "group_size"].contains(word) {
      let error = #expect(throws: PassError.self) {
        try parse(recipeText(passes: "quantize: {\(grid), \(options)}"))
      }
      #expect(error?.description.contains("'\(word)'") == true)
      #expect(error?.description.contains("iq2_") == true)
    }
  }

  @Test func `codes are not trained`() throws {
    let bench = try bench()
    let quantized = try bench.run(.quantize(QuantizeOptions { $0.grid = .iq2S }), to: "q.rilq").checkpoint
    let options = CalibrateOptions {
      $0.texts = [Self.text]
      $0.train = [.code]
    }
    let error = #expect(throws: PassError.self) { try CalibratePass(options).plan(quantized) }
    #expect(error?.description.contains("points of iq2_s") == true)
  }

  @Test func `codes move only where they are free`() throws {
    let bench = try bench()
    let pattern = try ModulePattern("v_proj")
    let quantized = try bench.run(
      .quantize(
        QuantizeOptions {
          $0.grid = .iq2XS
          $0.overrides = [QuantizeOverride(targets: [pattern], grid: .q2K)]
        }), to: "q.rilq"
    ).checkpoint
    let trained = try bench.run(
      .calibrate(
        CalibrateOptions {
          $0.texts = [Self.text]
          $0.teacher = PathOption(bench.input.path)
          $0.train = [.code, .scale]
          $0.samples = 4
          $0.length = 64
          $0.updates = 2
          $0.batch = 2
          $0.learningRate = 1e-2
          $0.validation = 0
        }), on: quantized, to: "trained.rilq"
    ).checkpoint
    try expectSameTensors(trained, quantized) {
      $0.hasSuffix(".block_factors_delta") || $0.hasSuffix("v_proj.weight")
    }
  }
}
