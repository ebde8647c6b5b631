import Checkpoints
import Kernels
import Models
import Passes
import TestSupport
import Testing

@Suite struct PipelineTests {
  private static let text = PathOption(Fixtures.path("tiny-llama/evaluation.txt"))
  private let quantize = PassOptions.quantize(QuantizeOptions())
  private let attach = PassOptions.attach(
    AttachOptions {
      $0.kind = .pooled
      $0.rank = 4
    })
  private let merge = PassOptions.merge(MergeOptions())
  private let calibrate = PassOptions.calibrate(
    CalibrateOptions {
      $0.texts = [PathOption(Fixtures.path("tiny-llama/calibration.txt"))]
      $0.samples = 8
      $0.length = 64
      $0.updates = 8
      $0.batch = 4
      $0.learningRate = 2e-3
      $0.validation = 4
      $0.validateEvery = 4
      $0.train = Trainable.allCases
    })

  private func pipeline(
    _ bench: Workbench, _ passes: [PassOptions], to name: String = "out.rilq", force: Bool = false
  ) -> Pipeline {
    let recipe = Recipe(
      input: PathOption(bench.input.path), output: PathOption(bench.folder.path(name)), passes: passes)
    return Pipeline(recipe, Pipeline.Options(force: force, version: "0.0.0"))
  }

  @Test func `every pass writes what it planned`() throws {
    let bench = try Workbench()
    let start = try bench.run(quantize, attach, to: "attached.rilq").checkpoint
    let attached = try AttachPass(
      AttachOptions {
        $0.kind = .pooled
        $0.rank = 4
      }
    )
    .plan(try bench.run(quantize, to: "q.rilq").checkpoint).contents
    #expect(start.contents.tensors == attached.tensors)
    #expect(start.contents.adapter == attached.adapter)
    let merged = try bench.run(merge, on: start).checkpoint.contents
    let plan = try MergePass(MergeOptions()).plan(start)
    #expect(merged.tensors == plan.contents.tensors)
    #expect(merged.quantization == plan.contents.quantization)
    #expect(plan.replacements.count == 14)
  }

  @Test func `the plan of a recipe has the sizes of its output`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let pipeline = pipeline(bench, [quantize, attach, calibrate])
    let plan = try pipeline.plan()
    #expect(try bench.folder.names().isEmpty)
    let report = try pipeline.run()
    let output = try Checkpoint.open(path: bench.folder.path("out.rilq"))
    #expect(plan.outputBytes == output.contents.byteCount)
    #expect(plan.bitsPerWeight == report.bitsPerWeight)
    #expect(plan.bitsPerWeight == output.contents.bitsPerWeight)
    #expect(plan.passes.map(\.name) == ["quantize", "attach", "calibrate"])
    #expect(try bench.folder.read("out.rilq").count == report.bytes)
  }

  @Test func `records recipe, version and digests of the input`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let metadata = try bench.run(quantize).checkpoint.contents.metadata
    let entry = try #require(metadata["history"]?.array?.first)
    #expect(entry["rilq_version"]?.string == "0.0.0")
    let pass = entry["recipe"]?["passes"]?.array?.first
    #expect(pass?["quantize"]?["group_size"]?.integer == 64)
    let inputs = try #require(entry["inputs"]?.array)
    let digests = inputs.map { [$0["file"]?.string, $0["sha256"]?.string] }
    // As sha256sum prints them.
    #expect(
      digests.contains([
        "model-00003-of-00003.safetensors",
        "c2d259936f587f0258b73dc6b0e8c9319096727bc03113857ae074fe7ed6bbe5",
      ]))
    #expect(
      digests.contains([
        "config.json", "9f25d6d48515ac00580b1f0d96807f14d80d537760673366df7c95434f4c10ef",
      ]))
  }

  @Test func `a second run appends to the history`() throws {
    let bench = try Workbench()
    let first = try bench.run(quantize, to: "1.rilq").checkpoint
    let metadata = try bench.run(attach, on: first).checkpoint.contents.metadata
    let passes = (metadata["history"]?.array ?? []).map {
      $0["recipe"]?["passes"]?.array?.first?.object?.first?.key
    }
    #expect(passes == ["quantize", "attach"])
  }

  @Test func `a packed file and a folder hold the same`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let packed = try bench.run(quantize, attach, calibrate, to: "a.rilq").checkpoint
    let folder = try bench.run(quantize, attach, calibrate, to: "folder").checkpoint
    #expect(folder.format == .safetensors)
    #expect(folder.contents.quantization == packed.contents.quantization)
    #expect(folder.contents.adapter == packed.contents.adapter)
    #expect(folder.contents.tensors.count == packed.contents.tensors.count)
    try expectSameTensors(packed, folder)
    #expect(try folder.logits(sampleTokens) == packed.logits(sampleTokens))
  }

  @Test func `to a folder and back keeps everything`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let packed = try bench.run(quantize, attach, calibrate, to: "a.rilq").checkpoint
    let folder = try bench.run(on: packed, to: "folder").checkpoint
    let back = try bench.run(on: folder, to: "b.rilq").checkpoint
    #expect(back.contents.quantization == packed.contents.quantization)
    #expect(back.contents.adapter == packed.contents.adapter)
    #expect(back.contents.tensors.count == packed.contents.tensors.count)
    try expectSameTensors(packed, back)
    #expect(Set(back.contents.assets.map(\.name)) == Set(packed.contents.assets.map(\.name)))
    #expect(try back.copiedAsset(named: "tokenizer.json") == packed.copiedAsset(named: "tokenizer.json"))
    let history = try #require(back.contents.metadata["history"]?.array)
    #expect(history.first == packed.contents.metadata["history"]?.array?.first)
  }

  @Test func `merging is verified against the state before it`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let verify = PassOptions.verify(
      VerifyOptions {
        $0.text = Self.text
        $0.window = 64
        $0.maxTokens = 256
        $0.maxMeanKL = 1e-6
        $0.maxLogitDifference = 1e-4
      })
    let result = try bench.run(quantize, attach, calibrate, merge, verify)
    #expect(result["passed"]?.bool == true)
    #expect(result["mean_kl"]?.double ?? 1 < 1e-6)
  }

  @Test func `a failed check leaves the target as it was`() throws {
    let bench = try Workbench()
    try bench.folder.write("out.rilq", "precious")
    let verify = PassOptions.verify(
      VerifyOptions {
        $0.text = Self.text
        $0.against = .input
        $0.window = 64
        $0.maxTokens = 256
        $0.maxKL = 1e-9
      })
    let error = #expect(throws: PassError.self) {
      try pipeline(bench, [quantize, verify], force: true).run()
    }
    #expect(error?.isFailedCheck == true)
    #expect(try bench.folder.read("out.rilq") == Array("precious".utf8))
    #expect(try bench.folder.names() == ["model", "out.rilq"])
  }

  @Test func `refuses a format that it cannot write before it begins`() throws {
    let bench = try Workbench()
    #expect(throws: FormatError.self) { try pipeline(bench, [quantize, attach], to: "out.gguf").run() }
    #expect(try bench.folder.names() == ["model"])
  }

  @Test func `refuses a packed file whose tensors are not those of its manifest`() throws {
    let bench = try Workbench()
    let quantized = try bench.run(quantize, to: "q.rilq").checkpoint
    var contents = quantized.contents
    contents.quantization["model.layers.0.input_layernorm"] = QuantizedLayout(bits: 2, groupSize: 64)
    let lying = quantized.replacing(contents: contents)
    #expect(throws: FormatError.self) { _ = try lying.copy(to: bench.folder.path("lying.rilq")) }
  }
}
