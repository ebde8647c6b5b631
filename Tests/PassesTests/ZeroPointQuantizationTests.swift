import Checkpoints
import Kernels
import Models
import Passes
import TestSupport
import Testing

@Suite struct ZeroPointQuantizationTests {
  private static let order = 256
  private static let text = PathOption(Fixtures.path("tiny-llama/calibration.txt"))
  private static let layouts: [QuantizedLayout] = [
    .zeroPoint(.zeroPoint, bits: 2, groupSize: 64), .zeroPoint(.zeroPoint, bits: 3, groupSize: 32),
    .zeroPoint(.zeroPoint, bits: 8, groupSize: 128), .zeroPoint(.portable, bits: 2, groupSize: 64),
    .zeroPoint(.symmetric, bits: 2, groupSize: 64), .zeroPoint(.symmetric, bits: 4, groupSize: 32),
  ]
  private static let grids: [QuantizeGrid] = [.zeroPoint, .portable, .symmetric]

  private func moments() -> SecondMoments { correlatedMoments(order: Self.order, rows: 400) }

  private func quantizers(
    _ grid: QuantizationGrid, _ moments: SecondMoments
  ) throws -> [any RowQuantizer] {
    func gptq(_ activationOrder: Bool) throws -> GPTQ {
      GPTQ(
        grid: grid,
        try GPTQFeedback(
          moments: MomentMatrix(moments), damping: 0.01, activationOrder: activationOrder))
    }
    return [
      RoundToNearest(grid: grid), HalfQuadratic(grid: grid), ClipSearch(grid: grid),
      ClipSearch(grid: grid, importance: moments.importance), try gptq(false), try gptq(true),
    ]
  }

  /// The layer error of each row, in double precision.
  private func errors(
    _ packed: PackedTensor, _ layout: QuantizedLayout, _ weights: [Float], _ moments: SecondMoments
  ) -> [Double] {
    let (order, means) = (Self.order, moments.means)
    var codes = [UInt8](repeating: 0, count: weights.count)
    var span = codes.mutableSpan
    let bytes = packed.codes.span
    unpackCodes(unsafe bytes.bytes, bits: layout.bits, into: &span)
    return stride(from: 0, to: weights.count, by: order).map { start in
      let difference = (start..<start + order).map { i in
        let group = i / layout.groupSize
        return Double(codes[i]) * Double(packed.scales[group]) + Double(packed.biases[group])
          - Double(weights[i])
      }
      var error = 0.0
      for i in 0..<order {
        var product = 0.0
        for j in 0..<order { product += means[i * order + j] * difference[j] }
        error += difference[i] * product
      }
      return error
    }
  }

  /// Checks that biases are what scales and zero points make, and all of them storable.
  private func expectOnGrid(_ packed: PackedTensor, _ layout: QuantizedLayout) throws {
    let zeroPoints = try #require(packed.zeroPoints)
    let range = try #require(layout.zeroPointGrid).range(bits: layout.bits)
    #expect(packed.biases == zeroPoints.biases(of: packed.scales))
    // Zero is left out because GPTQ's first version stores zero points less one.
    #expect(zeroPoints.values.allSatisfy { range.contains(Int($0)) && $0 >= 1 })
    #expect(zeroPoints.groupsPerRow == Self.order / layout.groupSize)
    #expect(zeroPoints.values.count == packed.scales.count)
    for scale in packed.scales { #expect(Float(Float16(scale)) == scale && Float16(scale).isNormal) }
  }

  @Test(arguments: layouts)
  func `every quantizer stays on the grid, and refinement lowers each row's error`(
    layout: QuantizedLayout
  ) throws {
    let (grid, moments) = (QuantizationGrid(layout, tables: .f16), moments())
    let weights = noise("weights", count: 21 * Self.order, size: 0.1)
    let refinement = Refinement(
      grid: grid, moments: MomentMatrix(moments), steps: Refinement.Steps(refits: true, sweeps: 2))
    for base in try quantizers(grid, moments) {
      let before = try base.quantizeRows(weights, columns: Self.order)
      try expectOnGrid(before, layout)
      var after = before
      refinement.refine(&after, of: weights)
      try expectOnGrid(after, layout)
      let old = errors(before, layout, weights, moments)
      let new = errors(after, layout, weights, moments)
      // The gradient is kept in single precision.
      for (old, new) in zip(old, new) { #expect(new <= old * (1 + 1e-4)) }
      #expect(new.reduce(0, +) < old.reduce(0, +))
      let squares = try #require(after.outputSquares)
      #expect(abs(squares.error - new.reduce(0, +)) < 1e-4 * squares.norm)
    }
  }

  @Test func `the search finds a lower error than the covering scale`() throws {
    let weights = noise("weights", count: 32 * Self.order, size: 0.1)
    func error(_ quantizer: any RowQuantizer) throws -> Double {
      try quantizer.quantize(rows: 32, columns: Self.order, name: "w") { range, part in
        for i in part.indices { part[i] = weights[range.lowerBound * Self.order + i] }
      }.squaredError
    }
    for layout in Self.layouts {
      let grid = QuantizationGrid(layout, tables: .f16)
      #expect(try error(ClipSearch(grid: grid)) < error(RoundToNearest(grid: grid)), "\(layout)")
    }
  }

  @Test func `sweeps choose zero points with the codes`() throws {
    let layout = QuantizedLayout.zeroPoint(.portable, bits: 2, groupSize: 64)
    let grid = QuantizationGrid(layout, tables: .f16)
    let inputs = noise("inputs", count: 2000 * Self.order, size: 1)
    let moments = SecondMoments(of: Matrix(rows: 2000, columns: Self.order, values: inputs))
    // Of large weights one way only, so that one zero point is far better.
    let weights = noise("weights", count: 16 * Self.order, size: 0.1).map { $0 < -0.03 ? -0.03 : $0 }
    let zeroPoints = ZeroPoints(
      grid: .portable, bits: 2, groupsPerRow: 4, values: [UInt8](repeating: 2, count: 64))
    let wrong = WrongZeroPoints(grid: grid, zeroPoints: zeroPoints)
    let quantizer = RefinedQuantizer(
      wrong,
      Refinement(
        grid: grid, moments: MomentMatrix(moments), steps: Refinement.Steps(refits: true, sweeps: 4)))
    let values = try #require(try quantizer.quantizeRows(weights, columns: Self.order).zeroPoints).values
    #expect(values.count { $0 == 1 } == 64)
  }

  /// Rounds with given zero points and a small scale.
  private struct WrongZeroPoints: RowQuantizer {
    let grid: QuantizationGrid
    let zeroPoints: ZeroPoints

    func quantizeRows(_ weights: [Float], columns: Int) -> PackedTensor {
      var packed = PackedTensor(codes: [UInt8](repeating: 0xAA, count: weights.count / 4))
      packed.setTables(scales: [Float](repeating: 0.05, count: weights.count / 64), zeroPoints)
      return packed
    }
  }

  @Test func `a refit is the best for its zero points and codes`() throws {
    let layout = QuantizedLayout.zeroPoint(.zeroPoint, bits: 2, groupSize: 64)
    let (grid, moments) = (QuantizationGrid(layout, tables: .f32), moments())
    let weights = noise("weights", count: 3 * Self.order, size: 0.1)
    var packed = try ClipSearch(grid: grid).quantizeRows(weights, columns: Self.order)
    Refinement(
      grid: grid, moments: MomentMatrix(moments), steps: Refinement.Steps(refits: true, sweeps: 0)
    ).refine(&packed, of: weights)
    let best = errors(packed, layout, weights, moments)
    let zeroPoints = try #require(packed.zeroPoints)
    for index in packed.scales.indices {
      for share: Float in [-0.01, 0.01] {
        var scales = packed.scales
        scales[index] *= 1 + share
        var moved = packed
        moved.setTables(scales: scales, zeroPoints)
        #expect(errors(moved, layout, weights, moments)[index / 4] > best[index / 4])
      }
    }
  }

  @Test(arguments: grids) func `rows do not depend on those beside them`(kind: QuantizeGrid) throws {
    let layout = QuantizedLayout.zeroPoint(try #require(kind.zeroPoints), bits: 2, groupSize: 64)
    let (grid, moments) = (QuantizationGrid(layout, tables: .f16), moments())
    let quantizer = RefinedQuantizer(
      try quantizers(grid, moments)[4],
      Refinement(
        grid: grid, moments: MomentMatrix(moments), steps: Refinement.Steps(refits: true, sweeps: 1)))
    let weights = noise("weights", count: 40 * Self.order, size: 0.1)
    let whole = try quantizer.quantizeRows(weights, columns: Self.order)
    let alone = try quantizer.quantizeRows(
      Array(weights[33 * Self.order..<34 * Self.order]), columns: Self.order)
    #expect(alone.codes == Array(whole.codes[33 * Self.order / 4..<34 * Self.order / 4]))
    #expect(alone.scales == Array(whole.scales[33 * 4..<34 * 4]))
    #expect(try #require(alone.zeroPoints).values == Array(try #require(whole.zeroPoints).values[132..<136]))
  }

  @Test func `a group of zeros and one of equal weights are held`() throws {
    for layout in Self.layouts {
      let grid = QuantizationGrid(layout, tables: .f16)
      let weights =
        [Float](repeating: 0, count: Self.order) + [Float](repeating: 0.5, count: Self.order)
        + [Float](repeating: 1e-30, count: Self.order)
      for quantizer in [RoundToNearest(grid: grid), ClipSearch(grid: grid)] as [any RowQuantizer] {
        let packed = try quantizer.quantizeRows(weights, columns: Self.order)
        try expectOnGrid(packed, layout)
      }
    }
  }

  @Test(arguments: grids)
  func `a model is quantized, trained layer by layer and as a whole, merged and verified`(
    grid: QuantizeGrid
  ) throws {
    let bench = try Workbench(
      TinyModel {
        $0.hiddenSize = 128
        $0.intermediateSize = 256
      })
    let quantize = PassOptions.quantize(
      QuantizeOptions {
        $0.method = .gptq
        $0.grid = grid
        $0.tables = .f16
        $0.texts = [Self.text]
        $0.samples = 4
        $0.length = 64
        $0.refit = true
        $0.sweeps = 1
        $0.propagation = 0.5
        $0.layerEpochs = 1
      })
    let calibrate = PassOptions.calibrate(
      CalibrateOptions {
        $0.texts = [Self.text]
        $0.train = [.scale, .bias]
        $0.samples = 8
        $0.length = 64
        $0.updates = 8
        $0.batch = 4
        $0.learningRate = 1e-2
        $0.validation = 4
        $0.validateEvery = 2
      })
    let unmerged = try bench.run(quantize, calibrate, to: "unmerged.rilq")
    let before = try #require(unmerged["validation_before"]?["loss"]?.double)
    let after = try #require(unmerged["validation_after"]?["loss"]?.double)
    #expect(after < before)
    let module = "model.layers.0.mlp.up_proj"
    #expect(unmerged.checkpoint.tensor(named: module + ".scales_delta")?.dtype == .f32)
    #expect(unmerged.checkpoint.tensor(named: module + ".biases_delta") == nil)
    let result = try bench.run(
      .merge(MergeOptions()),
      .verify(
        VerifyOptions {
          $0.text = Self.text
          $0.against = .unmerged
          $0.window = 64
          $0.maxTokens = 256
          // Merging rounds scales to half precision.
          $0.maxKL = 1e-3
          $0.maxMeanKL = 1e-4
          $0.maxLogitDifference = 0.1
        }), on: unmerged.checkpoint, to: "merged.rilq")
    #expect(result["passed"] == .bool(true))
    let kind = try #require(grid.zeroPoints)
    #expect(
      result.checkpoint.contents.quantization.values.allSatisfy {
        $0 == .zeroPoint(kind, bits: 2, groupSize: 64)
      })
    let merged = try #require(try result.checkpoint.quantizedWeight(of: module)).zeroPoints
    #expect(try unmerged.checkpoint.quantizedWeight(of: module)?.zeroPoints == merged)
    let bits = result.checkpoint.contents.bitsPerWeight
    #expect(grid == .symmetric ? bits == 2.25 : bits > 2.25 && bits < 2.32)
  }

  @Test func `training the biases alone is refused`() throws {
    let bench = try Workbench()
    let input = try bench.run(
      .quantize(
        QuantizeOptions {
          $0.grid = .symmetric
          $0.groupSize = 32
        })
    ).checkpoint
    let error = #expect(throws: PassError.self) {
      try CalibratePass(
        CalibrateOptions {
          $0.texts = [Self.text]
          $0.train = [.bias]
        }
      ).plan(input)
    }
    #expect(error?.description.contains("multiples of its scales") == true)
  }

  @Test(arguments: [
    ("grid: portable, bits: 4", "portable"), ("grid: symmetric, fallback_bits: 4", "symmetric"),
    ("grid: zero_point, bits_per_weight: 3, text: a.txt", "zero_point"),
    ("grid: zero_point, method: nf2", "nf2"),
    ("grid: portable, overrides: [{targets: [v_proj], bits: 4}]", "portable"),
    ("bits_per_weight: 3, text: a.txt, overrides: [{targets: [v_proj], grid: symmetric}]", "symmetric"),
  ])
  func `options that the grid does not have are refused`(options: String, word: String) {
    let error = #expect(throws: PassError.self) {
      try parse(recipeText(passes: "quantize: {\(options)}"))
    }
    #expect(error?.description.contains(word) == true)
  }

  @Test func `scales are F16 unless another dtype is given`() throws {
    func tables(_ options: String) throws -> DType? {
      try parse(recipeText(passes: "quantize: {\(options)}")).passes[0].options(of: QuantizePass.self)?.tables
    }
    #expect(try tables("grid: portable") == .f16)
    #expect(try tables("grid: portable, tables: bf16") == .bf16)
    #expect(try tables("bits: 2") == .f32)
  }

  @Test func `an override gives some modules other bits or another grid`() throws {
    let bench = try Workbench()
    let recipe = try parse(
      recipeText(
        passes:
          "quantize: {grid: zero_point, group_size: 32, overrides: [{targets: [v_proj], bits: 4},"
          + " {targets: [o_proj], grid: symmetric, bits: 3}, {targets: [down_proj], grid: affine}]}"))
    #expect(try parse(recipe.resolvedYAML()) == recipe)
    let quantization = try bench.run(recipe.passes[0]).checkpoint.contents.quantization
    let layer = "model.layers.0."
    #expect(quantization[layer + "self_attn.q_proj"] == .zeroPoint(.zeroPoint, bits: 2, groupSize: 32))
    #expect(quantization[layer + "self_attn.v_proj"] == .zeroPoint(.zeroPoint, bits: 4, groupSize: 32))
    #expect(quantization[layer + "self_attn.o_proj"] == .zeroPoint(.symmetric, bits: 3, groupSize: 32))
    #expect(quantization[layer + "mlp.down_proj"] == .affine(bits: 2, groupSize: 32))
  }

  @Test func `a container and a folder hold the same zero points`() throws {
    let bench = try Workbench()
    let container = try bench.run(
      .quantize(
        QuantizeOptions {
          $0.grid = .zeroPoint
          $0.bits = 3
          $0.groupSize = 32
        })
    ).checkpoint
    let folder = try bench.run(on: container, to: "folder").checkpoint
    #expect(folder.contents.quantization == container.contents.quantization)
    let module = "model.layers.1.mlp.down_proj"
    let zeroPoints = try #require(try container.quantizedWeight(of: module)?.zeroPoints)
    #expect(try folder.quantizedWeight(of: module)?.zeroPoints == zeroPoints)
    let text = try String(decoding: bench.folder.read("folder/config.json"), as: UTF8.self)
    #expect(text.contains("zero_point"))
    #expect(try Inspection(folder).text.contains("3 bits in groups of 32, zero_point"))
  }

  @Test func `a pooled adapter, which would need free biases, is refused`() throws {
    let bench = try Workbench()
    let quantized = try bench.run(
      .quantize(
        QuantizeOptions {
          $0.grid = .portable
          $0.groupSize = 32
        }), to: "q.rilq"
    ).checkpoint
    let error = try #require(throws: PassError.self) {
      try bench.run(.attach(AttachOptions { $0.kind = .pooled }), on: quantized)
    }
    #expect(error.description.contains("portable"))
  }
}
