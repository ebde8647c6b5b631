import Checkpoints
import Kernels
import Models
import Passes
import TestSupport
import Testing

@Suite struct MergeTests {
  /// What the merged logits may differ by: rounding of the tables to f32, through two layers.
  private static let logitTolerance: Float = 1e-4
  private let merge = PassOptions.merge(MergeOptions())

  /// A quantized model with an adapter and trained changes, none of them zero.
  private func unmerged(
    _ bench: Workbench, _ kind: AdapterParameters.Kind = .pooled, tables: DType = .f32, deltas: Bool = true
  ) throws -> Checkpoint {
    let attached = try bench.run(
      .quantize(QuantizeOptions { $0.tables = tables }),
      .attach(
        AttachOptions {
          $0.kind = kind
          $0.rank = 4
          $0.alpha = 8
        }),
      to: "attached.rilq"
    ).checkpoint
    let quantized = attached.contents.quantization.keys.sorted()
    let added =
      !deltas
      ? []
      : quantized.flatMap { module in
        ["scales", "biases"].compactMap { table in
          attached.tensor(named: "\(module).\(table)").map {
            TensorInfo(name: $0.name + "_delta", dtype: .f32, shape: $0.shape)
          }
        }
      }
    return try attached.copy(to: bench.folder.path("unmerged.rilq"), adding: added) { name, values in
      if name.hasSuffix(".lora_B.weight") { values = noise(name, count: values.count, size: 0.3) }
      if name.hasSuffix("_delta") { values = noise(name, count: values.count, size: 0.01) }
    }
  }

  @Test func `merged logits equal unmerged ones with tables of singles`() throws {
    let bench = try Workbench()
    let before = try unmerged(bench)
    let result = try bench.run(merge, on: before)
    let logits = try before.logits(sampleTokens)
    #expect(largestDifference(try result.checkpoint.logits(sampleTokens), logits) < Self.logitTolerance)
    let untrained = try Checkpoint.open(path: bench.folder.path("attached.rilq")).logits(sampleTokens)
    #expect(largestDifference(logits, untrained) > 0.1, "there is nothing to merge")
    #expect(result["modules"]?.integer == 14)
    #expect(result["largest_table_rounding_in_steps"]?.double == 0)
  }

  @Test func `leaves neither adapter nor changes, and everything else as it was`() throws {
    let bench = try Workbench()
    let before = try unmerged(bench)
    let merged = try bench.run(merge, on: before).checkpoint
    #expect(merged.contents.adapter == nil)
    let quantized = try bench.run(.quantize(QuantizeOptions()), to: "q.rilq").checkpoint
    #expect(merged.contents.tensors == quantized.contents.tensors)
    try expectSameTensors(quantized, merged) { $0.hasSuffix(".scales") || $0.hasSuffix(".biases") }
  }

  @Test func `adds the changes to the tables`() throws {
    let bench = try Workbench()
    let before = try unmerged(bench, .pooled)
    let merged = try bench.run(merge, on: before).checkpoint
    let name = "model.layers.1.self_attn.q_proj.scales"
    let sum = zip(
      try Fixtures.floats(name, in: before), try Fixtures.floats(name + "_delta", in: before)
    ).map { $0 + $1 }
    #expect(try Fixtures.floats(name, in: merged) == sum)
  }

  @Test(arguments: [DType.f16, .bf16])
  func `reports what rounding tables costs`(type: DType) throws {
    let bench = try Workbench()
    let before = try unmerged(bench)
    let result = try bench.run(
      .merge(MergeOptions { $0.tables = type }), on: before)
    #expect(result.checkpoint.tensor(named: "model.layers.0.mlp.up_proj.biases")?.dtype == type)
    let rounding = try #require(result["largest_table_rounding_in_steps"]?.double)
    // A bias is up to three steps from zero, so half a unit of its last place is at most 2^-9 of about four.
    #expect(rounding > 0 && rounding < (type == .bf16 ? 0.02 : 0.002))
    #expect(result["tables"]?.integer == 28)
    #expect(result["tables_stored_exactly"]?.integer == 0)
  }

  @Test func `tables keep the type that they have`() throws {
    let bench = try Workbench()
    let result = try bench.run(merge, on: try unmerged(bench, tables: .f16))
    #expect(result.checkpoint.tensor(named: "model.layers.0.mlp.up_proj.biases")?.dtype == .f16)
    #expect(try #require(result["largest_table_rounding_in_steps"]?.double) > 0)
  }

  @Test func `refuses a dense adapter on packed weights and names both ways out`() throws {
    let bench = try Workbench()
    let before = try unmerged(bench, .dense, deltas: false)
    let error = #expect(throws: PassError.self) { try bench.run(merge, on: before) }
    #expect(error?.isNotExact == true)
    let text = error?.description ?? ""
    #expect(text.contains("to keep it beside them"))
    #expect(text.contains("--requantize"))
    #expect(!(try bench.folder.names().contains("out.rilq")))
  }

  @Test func `requantizes the sum when that is allowed, and reports the loss`() throws {
    let bench = try Workbench()
    let before = try unmerged(bench, .dense, deltas: false)
    let result = try bench.run(
      .merge(MergeOptions { $0.requantize = true }), on: before)
    #expect(result["requantized_modules"]?.integer == 14)
    #expect(result.checkpoint.contents.adapter == nil)
    let sums = try Transformer(before).layerLinears.flatMap { $0.foldedWeight.values }
    let stored = try Transformer(result.checkpoint).layerLinears.flatMap { $0.foldedWeight.values }
    let reported = try #require(result["requantization_relative_error"]?.double)
    #expect(abs(reported - relativeError(stored, sums)) < 1e-6)
    #expect(reported > 0.01)
  }

  @Test(arguments: [DType.f32, .f16, .bf16])
  func `a dense adapter on dense weights gives their sum, rounded once`(type: DType) throws {
    let bench = try Workbench(TinyModel { $0.dtype = type })
    let attached = try bench.run(
      .attach(
        AttachOptions {
          $0.kind = .dense
          $0.rank = 4
          $0.alpha = 8
        }), to: "attached.rilq"
    ).checkpoint
    let before = try attached.copy(to: bench.folder.path("before.rilq")) { name, values in
      if name.hasSuffix(".lora_B.weight") { values = noise(name, count: values.count, size: 0.3) }
    }
    let merged = try bench.run(merge, on: before).checkpoint
    let module = "model.layers.0.mlp.gate_proj"
    let w = try Fixtures.floats(module + ".weight", in: before)
    let a = try Fixtures.floats(module + ".lora_A.weight", in: before)
    let b = try Fixtures.floats(module + ".lora_B.weight", in: before)
    let stored = try Fixtures.floats(module + ".weight", in: merged)
    // The bits of a significand, and a little for the sum of five products in singles.
    let halfUnit = type == .f32 ? 0x1p-22 : type == .f16 ? 0x1.01p-11 : 0x1.001p-8
    for i in w.indices {
      let (row, column) = (i / 128, i % 128)
      let update = (0..<4).reduce(0.0) {
        $0 + Double(b[row * 4 + $1]) * Double(a[$1 * 128 + column])
      }
      let sum = Double(w[i]) + 2 * update
      guard abs(Double(stored[i]) - sum) > abs(sum) * halfUnit + 1e-7 else { continue }
      Issue.record("weight \(i) is \(stored[i]), the sum is \(sum)")
      break
    }
    #expect(merged.tensor(named: module + ".weight")?.dtype == type)
    #expect(!merged.contents.tensors.contains { $0.name.contains("lora_") })
  }

  @Test func `refuses a sum that the type of a dense weight cannot hold`() throws {
    let bench = try Workbench(TinyModel { $0.dtype = .f16 })
    let attached = try bench.run(.attach(AttachOptions { ($0.kind, $0.rank) = (.dense, 4) })).checkpoint
    let module = "model.layers.0.mlp.up_proj"
    let large = try attached.copy(to: bench.folder.path("large.rilq")) { tensor, values in
      // Row 3 of `[out, rank]`.
      if tensor == module + ".lora_B.weight" { values[3 * 4] = 1e8 }
    }
    let error = #expect(throws: PassError.self) { try bench.run(merge, on: large, to: "merged.rilq") }
    guard case .notFinite(module + ".weight", let index) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(index / 128 == 3)
    #expect(try !bench.folder.names().contains("merged.rilq"))
  }

  @Test func `refuses pools that are no groups`() throws {
    let bench = try Workbench()
    let attached = try unmerged(bench, deltas: false)
    let name = "model.layers.0.mlp.up_proj.lora_A.weight"
    var contents = attached.contents
    contents.tensors.removeAll { $0.name == name }
    // One pool of 128 columns over groups of 64.
    let wide = TensorInfo(name: name, dtype: .f32, shape: [4, 1])
    #expect(throws: FormatError.self) {
      _ = try attached.replacing(contents: contents)
        .copy(to: bench.folder.path("wide.rilq"), adding: [wide])
    }
  }

  @Test func `refuses when there is nothing to merge`() throws {
    let bench = try Workbench()
    let error = #expect(throws: PassError.self) { try bench.run(.quantize(QuantizeOptions()), merge) }
    #expect(error?.isUsage == true)
    #expect(error?.description.contains("no adapter and no trained change") == true)
  }

  @Test func `refuses a sum that a type cannot hold`() throws {
    let bench = try Workbench()
    let before = try unmerged(bench)
    let name = "model.layers.0.mlp.up_proj.biases_delta"
    let large = try before.copy(to: bench.folder.path("large.rilq")) { tensor, values in
      if tensor == name { values[3] = 1e5 }
    }
    let biases = String(name.dropLast("_delta".count))
    #expect(throws: PassError.notFinite(tensor: biases, index: 3)) {
      try bench.run(
        .merge(MergeOptions { $0.tables = .f16 }), on: large)
    }
  }
}
