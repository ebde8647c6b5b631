import Checkpoints
import Models
import Passes
import TestSupport
import Testing

@Suite struct AttachTests {
  @Test(arguments: AdapterParameters.Kind.allCases)
  func `changes no logit while B is zero`(kind: AdapterParameters.Kind) throws {
    let bench = try Workbench()
    let quantized = try bench.run(.quantize(QuantizeOptions()), to: "q.rilq").checkpoint
    let attached = try bench.run(
      .attach(AttachOptions { $0.kind = kind }), on: quantized
    ).checkpoint
    #expect(attached.contents.adapter == AdapterParameters(kind: kind, rank: 16, alpha: 16))
    #expect(try attached.logits(sampleTokens) == quantized.logits(sampleTokens))
    try expectSameTensors(quantized, attached)
  }

  @Test func `a dense adapter goes beside dense weights`() throws {
    let bench = try Workbench()
    let attached = try bench.run(
      .attach(
        AttachOptions {
          $0.kind = .dense
          $0.rank = 4
        })
    ).checkpoint
    #expect(attached.tensor(named: "model.layers.0.self_attn.k_proj.lora_A.weight")?.shape == [4, 128])
    #expect(attached.tensor(named: "model.layers.0.self_attn.k_proj.lora_B.weight")?.shape == [64, 4])
    #expect(try attached.logits(sampleTokens) == bench.input.logits(sampleTokens))
  }

  @Test func `a pooled adapter has a column for each group`() throws {
    let bench = try Workbench()
    let attached = try bench.run(
      .quantize(
        QuantizeOptions {
          $0.bits = 3
          $0.groupSize = 32
        }),
      .attach(
        AttachOptions {
          $0.kind = .pooled
          $0.rank = 4
        }))
    let shape = attached.checkpoint.tensor(named: "model.layers.1.mlp.down_proj.lora_A.weight")?.shape
    #expect(shape == [4, 4])
    #expect(attached["modules"]?.integer == 14)
  }

  @Test func `the same seed gives the same A, another seed another one`() throws {
    let bench = try Workbench()
    let name = "model.layers.0.mlp.up_proj.lora_A.weight"
    let a = try [3, 3, 4].enumerated().map { i, seed in
      let options = AttachOptions {
        $0.kind = .dense
        $0.seed = UInt64(seed)
      }
      return try bench.run(.attach(options), to: "\(i).rilq").checkpoint.copiedBytes(of: name)
    }
    #expect(a[0] == a[1])
    #expect(a[0] != a[2])
  }

  @Test func `A does not depend on which other modules get one`() throws {
    let bench = try Workbench()
    let name = "model.layers.1.mlp.up_proj.lora_A.weight"
    let all = try bench.run(
      .attach(AttachOptions { $0.kind = .dense }), to: "all.rilq"
    ).checkpoint
    let few = try AttachOptions {
      $0.kind = .dense
      $0.targets = try patterns("up_proj")
    }
    let some = try bench.run(.attach(few), to: "some.rilq").checkpoint
    #expect(try all.copiedBytes(of: name) == some.copiedBytes(of: name))
    #expect(some.contents.tensors.count { $0.name.hasSuffix(".lora_A.weight") } == 2)
  }

  @Test(arguments: [2, 16])
  func `A deviates by one over the rank and B is zero`(rank: Int) throws {
    let bench = try Workbench()
    let attached = try bench.run(
      .attach(
        AttachOptions {
          $0.kind = .dense
          $0.rank = rank
        })
    ).checkpoint
    let values = try attached.contents.tensors.filter { $0.name.hasSuffix(".lora_A.weight") }
      .flatMap { try Fixtures.floats($0.name, in: attached).map(Double.init) }
    let mean = values.reduce(0, +) / Double(values.count)
    let deviation = (values.reduce(0) { $0 + $1 * $1 } / Double(values.count)).squareRoot() * Double(rank)
    // Of n samples the deviation is known to 1 / √(2n), here 3584 of them at least: four times that.
    #expect(abs(deviation - 1) < 0.05)
    #expect(abs(mean) * Double(rank) < 0.07)
    let b = try Fixtures.floats("model.layers.0.mlp.up_proj.lora_B.weight", in: attached)
    #expect(b.allSatisfy { $0 == 0 })
  }

  @Test func `refuses a pooled adapter beside a dense weight`() throws {
    let bench = try Workbench()
    let text = message {
      try bench.run(
        .attach(AttachOptions { $0.kind = .pooled }))
    }
    #expect(text.contains("a pooled adapter needs a quantized weight"))
    #expect(try bench.folder.names() == ["model"])
  }

  @Test func `refuses a second adapter`() throws {
    let bench = try Workbench()
    let text = message {
      try bench.run(
        .attach(AttachOptions { $0.kind = .dense }),
        .attach(AttachOptions { $0.kind = .dense }))
    }
    #expect(text.contains("has an adapter already"))
  }

  @Test(arguments: ["lm_head", "model.embed_tokens"])
  func `refuses modules that calibration does not train`(module: String) throws {
    let bench = try Workbench()
    let options = try AttachOptions {
      $0.kind = .dense
      $0.targets = try patterns(module)
    }
    let text = message { try bench.run(.attach(options)) }
    #expect(text.says("module '\(module)': … linears of layers …"))
  }

  @Test func `an adapter that the model would not use is refused when it is read`() throws {
    let bench = try Workbench()
    var contents = bench.input.contents
    contents.adapter = AdapterParameters(kind: .dense, rank: 2, alpha: 2)
    let tensors = [
      TensorInfo(name: "model.embed_tokens.lora_A.weight", dtype: .f32, shape: [2, 128]),
      TensorInfo(name: "model.embed_tokens.lora_B.weight", dtype: .f32, shape: [1024, 2]),
    ]
    let adapted = try bench.input.replacing(contents: contents)
      .copy(to: bench.folder.path("adapted.rilq"), adding: tensors)
    #expect(throws: FormatError.self) { _ = try Transformer(adapted) }
  }
}
