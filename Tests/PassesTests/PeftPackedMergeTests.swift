import Checkpoints
import Kernels
import Models
import Passes
import TestSupport
import Testing

/// Adapters of PEFT on packed weights, and beside them.
@Suite struct PeftPackedMergeTests {
  private let module = "model.layers.0.mlp.up_proj"
  private let rank = 4

  /// An adapter on one module, `[128, 128]`, over pools of some columns; nil is dense.
  private func adapter(
    pool: Int?, in folder: TemporaryFolder, qalora: Bool = true, to name: String = "adapter"
  ) throws -> PeftAdapter {
    let settings: [JSONValue.Member] =
      pool.map { [.init("use_qalora", .bool(true)), .init("qalora_group_size", .integer($0))] } ?? []
    var sample = SampleAdapter(rank: rank, alpha: 6, targets: [module], qalora ? settings : [])
    sample.add(module, rank: rank, inputs: 128 / (pool ?? 1), outputs: 128)
    return try sample.write(to: name, in: folder)
  }

  private func source(_ adapter: PeftAdapter, _ pooling: PoolingConvention? = nil) -> AdapterSource {
    AdapterSource(path: PathOption(adapter.path), pooling: pooling)
  }

  private func quantized(_ bench: Workbench, groupSize: Int = 32) throws -> Checkpoint {
    try bench.run(
      .quantize(QuantizeOptions { $0.groupSize = groupSize }), to: "q.rilq"
    ).checkpoint
  }

  @Test(
    arguments: [(32, PoolingConvention?.none), (64, nil), (128, nil), (64, .qaLora), (64, .peft)],
    [true, false])
  func `a pooled adapter goes into the biases, rounded once`(
    _ which: (pool: Int, pooling: PoolingConvention?), qalora: Bool
  ) throws {
    // Without the configuration's word only the original convention knows that an adapter is pooled.
    guard qalora || which.pooling == .qaLora else { return }
    let bench = try Workbench()
    let base = try quantized(bench)
    let adapter = try adapter(pool: which.pool, in: bench.folder, qalora: qalora)
    let options = MergeOptions { $0.adapter = source(adapter, which.pooling) }
    let result = try bench.run(.merge(options), on: base)
    let a = try adapter.floats(module + ".lora_A.weight")
    let b = try adapter.floats(module + ".lora_B.weight")
    let pools = 128 / which.pool
    let factor = 6.0 / 4 * (which.pooling == .qaLora ? 1 : Double(pools)) / Double(which.pool)
    let before = try Fixtures.floats(module + ".biases", in: base)
    let expected = before.indices.map { i in
      let (row, pool) = (i / 4, i % 4 * 32 / which.pool)
      let sum = (0..<rank).reduce(0.0) { $0 + Double(b[row * rank + $1]) * Double(a[$1 * pools + pool]) }
      return Float(Double(before[i]) + sum * factor)
    }
    #expect(try Fixtures.floats(module + ".biases", in: result.checkpoint) == expected)
    try expectSameTensors(base, result.checkpoint) { $0 == module + ".biases" }
    #expect(result["largest_table_rounding_in_steps"]?.double == 0)
    #expect(result["largest_change_in"]?.string == module)
  }

  @Test func `attached and merged equals merged`() throws {
    let bench = try Workbench()
    let base = try quantized(bench)
    let source = source(try adapter(pool: 32, in: bench.folder))
    let attached = try bench.run(
      .attach(AttachOptions { $0.adapter = source }), on: base, to: "a.rilq"
    ).checkpoint
    #expect(attached.contents.adapter == AdapterParameters(kind: .pooled, rank: 4, alpha: 24))
    let twice = try bench.run(.merge(MergeOptions()), on: attached, to: "m.rilq").checkpoint
    let once = try bench.run(
      .merge(MergeOptions { $0.adapter = source }), on: base, to: "o.rilq"
    ).checkpoint
    try expectSameTensors(twice, once)
  }

  @Test func `a dense adapter beside dense weights keeps its values`() throws {
    let bench = try Workbench()
    let adapter = try adapter(pool: nil, in: bench.folder)
    let attached = try bench.run(
      .attach(AttachOptions { $0.adapter = source(adapter) })
    ).checkpoint
    #expect(attached.contents.adapter == AdapterParameters(kind: .dense, rank: 4, alpha: 6))
    let name = module + ".lora_A.weight"
    #expect(try Fixtures.floats(name, in: attached) == adapter.floats(name))
    #expect(attached.contents.metadata["history"]?.array?.last?["adapters"]?.array?.count == 2)
  }

  @Test func `a pooled adapter on dense weights adds the same to every column of a pool`() throws {
    let bench = try Workbench(TinyModel { $0.dtype = .f32 })
    let adapter = try adapter(pool: 16, in: bench.folder)
    let merged = try bench.run(
      .merge(MergeOptions { $0.adapter = source(adapter) })
    ).checkpoint
    let a = try adapter.floats(module + ".lora_A.weight")
    let b = try adapter.floats(module + ".lora_B.weight")
    let before = try Fixtures.floats(module + ".weight", in: bench.input)
    let expected = before.indices.map { i in
      let sum = (0..<rank).reduce(0.0) {
        $0 + Double(b[i / 128 * rank + $1]) * Double(a[$1 * 8 + i % 128 / 16])
      }
      return Float(Double(before[i]) + sum * 1.5 * 8 / 16)
    }
    // Six roundings of numbers below 1.
    let values = try Fixtures.floats(module + ".weight", in: merged)
    #expect(largestDifference(values, expected) < 6 * 0x1p-24)
  }

  @Test func `refuses a pool that is no multiple of a group`() throws {
    let bench = try Workbench()
    let base = try quantized(bench)
    let options = try MergeOptions { $0.adapter = source(try adapter(pool: 16, in: bench.folder)) }
    let error = #expect(throws: PassError.self) { try bench.run(.merge(options), on: base) }
    #expect(error?.isNotExact == true)
    #expect(
      error?.description.contains("over groups of 16 cannot be merged into tables over groups of 32") == true)
  }

  @Test func `refuses a dtype for tables where none is merged`() throws {
    let bench = try Workbench()
    let options = try MergeOptions {
      $0.tables = .f16
      $0.adapter = source(try adapter(pool: nil, in: bench.folder))
    }
    let error = #expect(throws: PassError.self) { try bench.run(.merge(options)) }
    #expect(error?.isUsage == true)
  }

  @Test func `refuses a dense adapter and names both ways out`() throws {
    let bench = try Workbench()
    let base = try quantized(bench)
    let options = try MergeOptions { $0.adapter = source(try adapter(pool: nil, in: bench.folder)) }
    let error = #expect(throws: PassError.self) { try bench.run(.merge(options), on: base) }
    #expect(error?.isNotExact == true)
    #expect(error?.description.contains("'rilq attach --adapter' keeps it beside them") == true)
    #expect(error?.description.contains("--requantize") == true)
  }

  @Test(arguments: [nil, 16])
  func `requantizes the sum when that is allowed`(pool: Int?) throws {
    let bench = try Workbench()
    let base = try quantized(bench)
    let options = try MergeOptions {
      $0.requantize = true
      $0.adapter = source(try adapter(pool: pool, in: bench.folder))
    }
    let result = try bench.run(.merge(options), on: base)
    #expect(result["requantized_modules"]?.integer == 1)
    #expect(try #require(result["requantization_relative_error"]?.double) > 0.01)
    try expectSameTensors(base, result.checkpoint) { $0.hasPrefix(module) }
  }

  @Test func `is not compared with a state that never was`() throws {
    let merge = PassOptions.merge(MergeOptions { $0.adapter = AdapterSource(path: PathOption("a")) })
    let verify = PassOptions.verify(VerifyOptions { $0.text = PathOption("t") })
    let recipe = Recipe(input: PathOption("i"), output: PathOption("o"), passes: [merge, verify])
    let options = try #require(recipe.passes[1].options(of: VerifyPass.self))
    #expect(options.against == .input)
  }
}
