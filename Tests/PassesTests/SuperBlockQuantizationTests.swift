import Checkpoints
import Kernels
import Models
import Passes
import TestSupport
import Testing

@Suite struct SuperBlockQuantizationTests {
  private static let order = 512
  private static let text = PathOption(Fixtures.path("tiny-llama/calibration.txt"))

  private func moments() -> SecondMoments { correlatedMoments(order: Self.order, rows: 700) }

  private func grid(_ kind: SuperBlock) -> QuantizationGrid {
    QuantizationGrid(.superBlock(kind), tables: .f32)
  }

  private func quantizers(
    _ grid: QuantizationGrid, _ moments: SecondMoments
  ) throws -> [any RowQuantizer] {
    func gptq(_ activationOrder: Bool) throws -> GPTQ {
      GPTQ(
        grid: grid,
        try GPTQFeedback(
          moments: MomentMatrix(moments), damping: 0.01, activationOrder: activationOrder))
    }
    let all: [any RowQuantizer] = [
      RoundToNearest(grid: grid), ClipSearch(grid: grid),
      ClipSearch(grid: grid, importance: moments.importance), try gptq(false),
    ]
    return grid.layout.superBlock?.lattice == nil
      ? all + [HalfQuadratic(grid: grid), try gptq(true)] : all
  }

  /// The layer error of each row, in double precision.
  private func errors(_ packed: PackedTensor, _ weights: [Float], _ moments: SecondMoments) -> [Double] {
    let (order, means) = (Self.order, moments.means)
    guard let blocks = packed.blocks else { return [] }
    let kind = blocks.kind
    var codes = [UInt8](repeating: 0, count: weights.count)
    var span = codes.mutableSpan
    let bytes = packed.codes.span
    unpackCodes(unsafe bytes.bytes, bits: kind.codeBits, into: &span)
    return stride(from: 0, to: weights.count, by: order).map { start in
      let difference = (start..<start + order).map { i in
        let group = i / kind.groupSize
        return Double(codes[i]) * Double(blocks.scales[group]) + Double(blocks.biases[group])
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

  /// Checks that tables are what their integers and factors make, and all of them storable.
  private func expectOnGrid(_ packed: PackedTensor) throws {
    let blocks = try #require(packed.blocks)
    #expect(packed.scales == blocks.scales && packed.biases == blocks.biases)
    let multiples = Set(blocks.kind.scaleSteps.map { blocks.kind.multiple(ofStep: $0) })
    #expect(multiples.isSuperset(of: blocks.scaleSteps))
    // Codes that are no points would be refused here.
    #expect(!QuantizedLayout.superBlock(blocks.kind).storedCodes(packed.codes).isEmpty)
    for step in blocks.biasSteps where blocks.kind.zeroPoint == nil {
      #expect(blocks.kind.biasSteps.contains(Int(step)) && Float(Int(step)) == step)
    }
    for factor in blocks.factors { #expect(Float(Float16(factor)) == factor) }
  }

  @Test(arguments: SuperBlock.allCases)
  func `every quantizer stays on the grid, and refinement lowers each row's error`(
    kind: SuperBlock
  ) throws {
    let (grid, moments) = (grid(kind), moments())
    let weights = noise("weights", count: 21 * Self.order, size: 0.1)
    let refinement = Refinement(
      grid: grid, moments: MomentMatrix(moments), steps: Refinement.Steps(refits: true, sweeps: 2))
    for base in try quantizers(grid, moments) {
      let before = try base.quantizeRows(weights, columns: Self.order)
      try expectOnGrid(before)
      var after = before
      refinement.refine(&after, of: weights)
      try expectOnGrid(after)
      let (old, new) = (errors(before, weights, moments), errors(after, weights, moments))
      // The gradient is kept in single precision.
      for (old, new) in zip(old, new) { #expect(new <= old * (1 + 1e-4)) }
      #expect(new.reduce(0, +) < old.reduce(0, +))
      let squares = try #require(after.outputSquares)
      #expect(abs(squares.error - new.reduce(0, +)) < 1e-4 * squares.norm)
    }
  }

  @Test(arguments: SuperBlock.kTypes)
  func `small integers cost little against free tables in the same groups`(kind: SuperBlock) throws {
    let weights = noise("weights", count: 32 * Self.order, size: 0.1)
    func error(_ grid: QuantizationGrid) throws -> Double {
      let packed = try ClipSearch(grid: grid).quantize(rows: 32, columns: Self.order, name: "w") {
        range, part in
        for i in part.indices { part[i] = weights[range.lowerBound * Self.order + i] }
      }
      return packed.squaredError
    }
    let free = QuantizationGrid(bits: kind.bits, groupSize: kind.groupSize, tables: .f32)
    // Without minima, the levels cannot follow the ends of a group.
    #expect(try error(grid(kind)) < (kind.zeroPoint == nil ? 1.2 : 1.6) * error(free))
  }

  @Test func `a refit is the best for its integers and codes`() throws {
    let (grid, moments) = (grid(.q2K), moments())
    let weights = noise("weights", count: 3 * Self.order, size: 0.1)
    var packed = try ClipSearch(grid: grid).quantizeRows(weights, columns: Self.order)
    Refinement(
      grid: grid, moments: MomentMatrix(moments), steps: Refinement.Steps(refits: true, sweeps: 0)
    ).refine(&packed, of: weights)
    let best = errors(packed, weights, moments)
    let blocks = try #require(packed.blocks)
    for index in blocks.factors.indices {
      for share: Float in [-0.01, 0.01] {
        var other = blocks
        other.factors[index] *= 1 + share
        let moved = PackedTensor(codes: packed.codes, blocks: other)
        // A row has two blocks of two factors.
        #expect(errors(moved, weights, moments)[index / 4] > best[index / 4])
      }
    }
  }

  @Test(arguments: [SuperBlock.q2K, .iq2XS, .iq2S])
  func `rows do not depend on those beside them`(kind: SuperBlock) throws {
    let (grid, moments) = (grid(kind), moments())
    let base = try quantizers(grid, moments)[3]
    let quantizer = RefinedQuantizer(
      base,
      Refinement(
        grid: grid, moments: MomentMatrix(moments), steps: Refinement.Steps(refits: true, sweeps: 1)))
    let weights = noise("weights", count: 40 * Self.order, size: 0.1)
    let whole = try quantizer.quantizeRows(weights, columns: Self.order)
    let alone = try quantizer.quantizeRows(
      Array(weights[33 * Self.order..<34 * Self.order]), columns: Self.order)
    let width = Self.order * kind.codeBits / 8
    #expect(alone.codes == Array(whole.codes[33 * width..<34 * width]))
    #expect(alone.scales == Array(whole.scales[33 * 32..<34 * 32]))
  }

  @Test(arguments: QuantizeGrid.allCases.filter { $0.superBlock != nil })
  func `a model is quantized, trained layer by layer and as a whole, merged and verified`(
    grid: QuantizeGrid
  ) throws {
    let bench = try Workbench(
      TinyModel {
        $0.hiddenSize = 256
        $0.intermediateSize = 512
      })
    let quantize = PassOptions.quantize(
      QuantizeOptions {
        $0.method = .gptq
        $0.grid = grid
        $0.texts = [Self.text]
        $0.samples = 4
        $0.length = 64
        $0.refit = true
        $0.sweeps = 1
        $0.layerEpochs = 1
        // One update; more would learn 256 tokens by heart.
        $0.layerBatch = 4
      })
    let calibrate = PassOptions.calibrate(
      CalibrateOptions {
        $0.texts = [Self.text]
        $0.train = [.scale, .bias]
        $0.samples = 8
        $0.length = 64
        $0.updates = 8
        $0.batch = 4
        // The unit is a step, of which more bits need less.
        $0.learningRate = [.q2K: 1e-2, .q3K: 1e-2, .q4K: 1e-3, .iq2XS: 1e-2, .iq2S: 2e-3][grid] ?? 1e-4
        // 6 bits leave nothing that so few updates could gain on other windows.
        $0.validation = grid == .q6K ? 0 : 4
        $0.validateEvery = 2
      })
    let quantized = try bench.run(quantize, to: "quantized.rilq").checkpoint
    let unmerged = try bench.run(quantize, calibrate, to: "unmerged.rilq")
    // Codes and integers stay; the factors are trained.
    try expectSameTensors(unmerged.checkpoint, quantized) { $0.hasSuffix(".block_factors_delta") }
    if grid != .q6K {
      let before = try #require(unmerged["validation_before"]?["loss"]?.double)
      let after = try #require(unmerged["validation_after"]?["loss"]?.double)
      #expect(after < before)
    }
    let module = "model.layers.0.mlp.up_proj"
    #expect(unmerged.checkpoint.tensor(named: module + ".block_factors_delta")?.dtype == .f32)
    let result = try bench.run(
      .merge(MergeOptions()),
      .verify(
        VerifyOptions {
          $0.text = Self.text
          $0.against = .unmerged
          $0.window = 64
          $0.maxTokens = 256
          // Merging rounds d and dmin to half precision.
          $0.maxKL = 1e-3
          $0.maxMeanKL = 1e-4
          $0.maxLogitDifference = 0.1
        }), on: unmerged.checkpoint, to: "merged.rilq")
    #expect(result["passed"] == .bool(true))
    let kind = try #require(grid.superBlock)
    #expect(result.checkpoint.contents.quantization.values.allSatisfy { $0 == .superBlock(kind) })
    #expect(result.checkpoint.contents.bitsPerWeight == kind.bitsPerWeight)
    #expect(result.checkpoint.tensor(named: module + ".block_factors_delta") == nil)
  }

  @Test(arguments: [Trainable.scale, .bias])
  func `each factor of a block is trained in the direction that lowers the loss`(part: Trainable) throws {
    let bench = try Workbench(
      TinyModel {
        $0.hiddenSize = 256
        $0.intermediateSize = 512
      })
    let result = try bench.run(
      .quantize(QuantizeOptions { $0.grid = .q2K }),
      .calibrate(
        CalibrateOptions {
          $0.texts = [Self.text]
          $0.train = [part]
          $0.samples = 8
          $0.length = 64
          $0.updates = 8
          $0.batch = 4
          $0.learningRate = 1e-2
          $0.validation = 4
          $0.validateEvery = 2
        }))
    let before = try #require(result["validation_before"]?["loss"]?.double)
    #expect(try #require(result["validation_after"]?["loss"]?.double) < before)
  }

  @Test func `the plan counts what is trained for each group`() throws {
    let bench = try Workbench(
      TinyModel {
        $0.hiddenSize = 256
        $0.intermediateSize = 512
      })
    let memory = try [QuantizeGrid.q2K, .q3K].map { grid in
      let name = grid.rawValue + ".rilq"
      let input = try bench.run(.quantize(QuantizeOptions { $0.grid = grid }), to: name).checkpoint
      let options = { (parts: [Trainable]) in
        CalibrateOptions {
          $0.texts = [Self.text]
          $0.train = parts
          $0.batch = 1
          $0.validation = 4
        }
      }
      if grid == .q3K {
        // Its biases are multiples of its scales, so that nothing would be trained.
        #expect(throws: PassError.self) { try CalibratePass(options([.bias])).plan(input) }
      }
      let both = try CalibratePass(options([.scale, .bias])).plan(input).memory
      let one = try CalibratePass(options([.scale])).plan(input).memory
      let groups = input.contents.quantization.keys.reduce(0) { sum, module in
        sum + (input.tensor(named: module + ".weight")?.byteCount ?? 0) * 8 / (grid == .q2K ? 2 : 3) / 16
      }
      // A group has the gradient of a window and the sum of gradients; a block the start, the parameters, two
      // moments and the best state.
      #expect(both - one == 4 * (2 * groups + 5 * groups / 16))
      return both
    }
    #expect(memory[0] == memory[1])
  }

  @Test func `rows that are no whole blocks are refused with what would fit`() throws {
    let bench = try Workbench()
    let error = try #require(throws: PassError.self) {
      try bench.run(.quantize(QuantizeOptions { $0.grid = .q2K }))
    }
    guard case .divisibility(_, let columns, 256, "q2_k", let fitting) = error else {
      Issue.record("\(error)")
      return
    }
    #expect(columns % 256 != 0 && fitting.allSatisfy { columns % $0 == 0 })
    #expect(error.description.contains("256, the block of q2_k"))
  }

  @Test(arguments: ["bits: 3", "group_size: 32", "tables: f16"])
  func `a grid of super-blocks has its own bits, groups and tables`(key: String) {
    #expect(throws: PassError.self) { try parse(recipeText(passes: "quantize: {grid: q2_k, \(key)}")) }
  }

  @Test func `an override gives some modules another grid`() throws {
    let bench = try Workbench(
      TinyModel {
        $0.hiddenSize = 256
        $0.intermediateSize = 512
      })
    let recipe = try parse(
      recipeText(
        passes:
          "quantize: {grid: q2_k, overrides: [{targets: [v_proj], grid: q4_k}, {targets: [o_proj], bits: 4}]}"
      ))
    #expect(try parse(recipe.resolvedYAML()) == recipe)
    let quantization = try bench.run(recipe.passes[0]).checkpoint.contents.quantization
    let layer = "model.layers.0.self_attn."
    #expect(quantization[layer + "q_proj"] == .superBlock(.q2K))
    #expect(quantization[layer + "v_proj"] == .superBlock(.q4K))
    #expect(quantization[layer + "o_proj"] == .affine(bits: 4, groupSize: 64))
  }

  @Test func `a container and a folder hold the same super-blocks`() throws {
    let bench = try Workbench(
      TinyModel {
        $0.hiddenSize = 256
        $0.intermediateSize = 512
      })
    let container = try bench.run(.quantize(QuantizeOptions { $0.grid = .q3K })).checkpoint
    let folder = try bench.run(on: container, to: "folder").checkpoint
    #expect(folder.contents.quantization == container.contents.quantization)
    let module = "model.layers.1.mlp.down_proj"
    let blocks = try #require(try container.quantizedWeight(of: module)?.blocks)
    #expect(try folder.quantizedWeight(of: module)?.blocks == blocks)
    let text = try String(decoding: bench.folder.read("folder/config.json"), as: UTF8.self)
    #expect(text.contains("q3_k"))
    #expect(try Inspection(folder).text.contains("3 bits in blocks of q3_k"))
  }

  @Test func `MLX gets the same weights of q4_k with free tables, and refuses groups of 16`() throws {
    let bench = try Workbench(
      TinyModel {
        $0.hiddenSize = 256
        $0.intermediateSize = 512
      })
    func convert(_ grid: QuantizeGrid, _ passes: [PassOptions], from path: String) throws -> Checkpoint {
      let output = bench.folder.path("mlx-\(grid.rawValue)-\(passes.count)")
      let recipe = Recipe(
        input: PathOption(path), output: PathOption(output), outputFormat: .mlx, passes: passes)
      _ = try Pipeline(recipe, Pipeline.Options(version: "0.0.0")).run()
      return try Checkpoint.open(path: output)
    }
    let quantize = PassOptions.quantize(QuantizeOptions { $0.grid = .q4K })
    let container = try bench.run(quantize).checkpoint
    let module = "model.layers.0.mlp.down_proj"
    let expected = try #require(try container.quantizedWeight(of: module))
    // As a copy of a file, and written by the pass itself.
    for folder in [
      try convert(.q4K, [], from: container.path), try convert(.q4K, [quantize], from: bench.input.path),
    ] {
      let weight = try #require(try folder.quantizedWeight(of: module))
      #expect(weight.layout == .affine(bits: 4, groupSize: 32))
      #expect(weight.scales == expected.scales && weight.biases == expected.biases)
      #expect(weight.codes.withSpan { $0.copiedBytes() } == expected.codes.withSpan { $0.copiedBytes() })
    }
    let q2K = PassOptions.quantize(QuantizeOptions { $0.grid = .q2K })
    let error = #expect(throws: FormatError.self) { try convert(.q2K, [q2K], from: bench.input.path) }
    #expect(error?.description.contains("not of 16, which q2_k has") == true)
  }

  @Test func `a pooled adapter, which would need free biases, is refused`() throws {
    let bench = try Workbench(
      TinyModel {
        $0.hiddenSize = 256
        $0.intermediateSize = 512
      })
    let quantized = try bench.run(.quantize(QuantizeOptions { $0.grid = .q2K }), to: "q.rilq").checkpoint
    let error = try #require(throws: PassError.self) {
      try bench.run(.attach(AttachOptions { $0.kind = .pooled }), on: quantized)
    }
    #expect(error.description.contains("q2_k"))
  }
}
