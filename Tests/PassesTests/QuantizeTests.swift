import Checkpoints
import Kernels
import Models
import Passes
import TestSupport
import Testing

@Suite struct QuantizeTests {
  @Test func `codes and tables of the fixture equal the reference bit for bit`() throws {
    let golden = try Checkpoint.open(path: Fixtures.path("golden/rtn-w2g64.safetensors"))
    let output = try Workbench(fixture: "tiny-llama").run(.quantize(QuantizeOptions())).checkpoint
    #expect(output.contents.quantization.count == 28)
    #expect(golden.contents.tensors.count == 84)
    for tensor in golden.contents.tensors {
      let isSame = try output.copiedBytes(of: tensor.name) == golden.copiedBytes(of: tensor.name)
      #expect(isSame, "\(tensor.name)")
    }
  }

  @Test(arguments: QuantizeOptions.allowedBits, QuantizeOptions.allowedGroupSizes)
  func `every weight is at most half a step away`(bits: Int, groupSize: Int) throws {
    let bench = try Workbench(TinyModel { $0.dtype = .f32 })
    let output = try bench.run(
      .quantize(
        QuantizeOptions {
          $0.bits = bits
          $0.groupSize = groupSize
        })
    ).checkpoint
    let model = try Transformer(output)
    #expect(model.layerLinears.count == 14)
    for linear in model.layerLinears {
      let packed = try #require(linear.weight.packed)
      let weights = try Fixtures.floats(linear.name + ".weight", in: bench.input)
      let stored = linear.foldedWeight.values
      var worst: Float = 0
      for i in weights.indices {
        // The code and the product are each rounded once to a float of the weights' size.
        let allowed = packed.scales[i / groupSize] / 2 + 4 * Float(0.5).ulp
        worst = max(worst, abs(stored[i] - weights[i]) / allowed)
      }
      #expect(worst <= 1, "\(linear.name)")
    }
  }

  @Test func `reports the relative error of what it wrote`() throws {
    let bench = try Workbench(TinyModel { $0.dtype = .f32 })
    let result = try bench.run(.quantize(QuantizeOptions()))
    let linears = try Transformer(result.checkpoint).layerLinears
    let stored = linears.flatMap { $0.foldedWeight.values }
    let weights = try linears.flatMap { try Fixtures.floats($0.name + ".weight", in: bench.input) }
    let reported = try #require(result["relative_error"]?.double)
    #expect(abs(reported - relativeError(stored, weights)) < 1e-6)
    #expect(result["modules"]?.integer == 14)
    #expect(result["weights"]?.integer == weights.count)
  }

  @Test func `quantizes what targets select without what ignore names`() throws {
    let options = try QuantizeOptions {
      $0.targets = try patterns("*.mlp.*")
      $0.ignore = try patterns("re:.*\\.1\\.mlp\\.up_proj")
    }
    let output = try Workbench().run(.quantize(options)).checkpoint
    let expected = [
      "model.layers.0.mlp.down_proj", "model.layers.0.mlp.gate_proj", "model.layers.0.mlp.up_proj",
      "model.layers.1.mlp.down_proj", "model.layers.1.mlp.gate_proj",
    ]
    #expect(output.contents.quantization.keys.sorted() == expected)
  }

  @Test(arguments: [Float.nan, .infinity, -.infinity], [QuantizeMethod.rtn, .search, .hqq])
  func `refuses a weight that is not finite by its index`(value: Float, method: QuantizeMethod) throws {
    let name = "model.layers.1.mlp.up_proj.weight"
    let bench = try Workbench { tensor, values in
      if tensor == name { values[128 * 70 + 5] = value }
    }
    #expect(throws: PassError.notFinite(tensor: name, index: 128 * 70 + 5)) {
      try bench.run(.quantize(QuantizeOptions { $0.method = method }))
    }
    #expect(try bench.folder.names() == ["model"])
  }

  @Test func `refuses columns that are no whole groups and names the sizes that fit`() throws {
    let bench = try Workbench(TinyModel { $0.hiddenSize = 96 })
    // The first one in the order of the file.
    let name = "model.layers.0.mlp.gate_proj.weight"
    #expect(throws: PassError.divisibility(tensor: name, columns: 96, groupSize: 64, fitting: [32])) {
      try bench.run(.quantize(QuantizeOptions()))
    }
    #expect(try bench.folder.names() == ["model"])
  }

  @Test func `leaves everything else byte for byte`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let output = try bench.run(.quantize(QuantizeOptions())).checkpoint
    try expectSameTensors(bench.input, output) { name in
      output.contents.quantization.keys.contains { name == $0 + ".weight" }
    }
    #expect(output.contents.assets == bench.input.contents.assets)
    for asset in bench.input.contents.assets {
      #expect(try output.copiedAsset(named: asset.name) == bench.input.copiedAsset(named: asset.name))
    }
  }

  @Test(arguments: [DType.f16, .bf16])
  func `stores tables in the type that is asked for`(type: DType) throws {
    let bench = try Workbench()
    let exact = try bench.run(.quantize(QuantizeOptions())).checkpoint
    let output = try bench.run(
      .quantize(QuantizeOptions { $0.tables = type }), to: "narrow.rilq"
    ).checkpoint
    let name = "model.layers.0.mlp.up_proj.scales"
    #expect(output.tensor(named: name)?.dtype == type)
    let rounded = TensorBytes(try Fixtures.floats(name, in: exact), as: type).withSpan { $0.copiedBytes() }
    #expect(try output.copiedBytes(of: name) == rounded)
  }

  @Test(arguments: [DType.f32, .f16, .bf16], [false, true])
  func `reads every weight type, tied or not, from shards or one file`(type: DType, ties: Bool) throws {
    let bench = try Workbench(
      TinyModel {
        $0.dtype = type
        $0.tiesEmbeddings = ties
        $0.shardByteLimit = ties ? 300_000 : 1 << 30
      })
    let shardCount = try bench.input.files.count { $0.name.hasSuffix(".safetensors") }
    #expect((shardCount > 1) == ties)
    let output = try bench.run(
      .quantize(QuantizeOptions { $0.bits = 8 })
    ).checkpoint
    let difference = relativeError(try output.logits(sampleTokens), try bench.input.logits(sampleTokens))
    #expect(difference < 0.05)
  }
}
