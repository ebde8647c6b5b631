import Checkpoints
import Kernels
import Models
import Passes
import TestSupport
import Testing

@Suite(.serialized) struct AttachInitializationTests {
  private static let text = PathOption(Fixtures.path("tiny-llama/calibration.txt"))
  private let bench: Workbench

  init() throws { bench = try Workbench(fixture: "tiny-llama") }

  private func options(
    _ initialization: AdapterInitialization, _ kind: AdapterParameters.Kind, rank: Int = 16,
    _ change: (inout AttachOptions) -> Void = { _ in }
  ) -> AttachOptions {
    var options = AttachOptions {
      $0.kind = kind
      $0.rank = rank
      $0.initialization = initialization
    }
    if [.qera, .atc].contains(initialization) {
      (options.text, options.samples, options.length) = (Self.text, 16, 128)
    }
    change(&options)
    return options
  }

  private func attach(_ options: AttachOptions, to name: String = "out.rilq") throws -> PassResult {
    try bench.run(.quantize(QuantizeOptions()), .attach(options), to: name)
  }

  @Test(arguments: AdapterParameters.Kind.allCases)
  func `each initialization is better than the one before it`(kind: AdapterParameters.Kind) throws {
    let perplexities = try [AdapterInitialization.zero, .loftq, .qera].map {
      try perplexity(of: attach(options($0, kind), to: "\($0).rilq").checkpoint)
    }
    #expect(perplexities[1] < 0.99 * perplexities[0])
    #expect(perplexities[2] < perplexities[1])
  }

  @Test func `the report says what the adapters make good`() throws {
    let loftq = try attach(options(.loftq, .dense))
    let before = try #require(loftq["relative_error_before"]?.double)
    let after = try #require(loftq["relative_error_after"]?.double)
    #expect(after < before)
    // The error that is left is that of the weights with their adapters.
    #expect(try abs(weightError(of: loftq.checkpoint) / after - 1) < 1e-4)
    let qera = try attach(options(.qera, .dense), to: "qera.rilq")
    let outputs = try ["before", "after"].map {
      try #require(qera["relative_output_error_" + $0]?.double)
    }
    #expect(outputs[1] < 0.8 * outputs[0])
  }

  /// How far weights with their adapters are from the input's.
  private func weightError(of checkpoint: Checkpoint) throws -> Double {
    let original = try Transformer(bench.input).layerLinears
    var (error, norm) = (0.0, 0.0)
    for (a, b) in zip(original, try Transformer(checkpoint).layerLinears) {
      let weight = try a.foldedDoubles()
      error += weight.subtracting(try b.foldedDoubles()).squaredNorm
      norm += weight.squaredNorm
    }
    return (error / norm).squareRoot()
  }

  @Test(arguments: AdapterParameters.Kind.allCases)
  func `alpha is divided out`(kind: AdapterParameters.Kind) throws {
    let logits = try [4.0, 32].map { alpha in
      try attach(options(.qera, kind) { $0.alpha = alpha }, to: "\(alpha).rilq").checkpoint.logits(
        sampleTokens)
    }
    #expect(relativeError(logits[0], logits[1]) < 1e-4)
  }

  @Test func `what the closed form does not fill begins as with zero`() throws {
    // Inputs of 128 features have two groups: two rows of A.
    let name = "model.layers.0.self_attn.q_proj"
    let zero = try attach(options(.zero, .pooled, rank: 5), to: "zero.rilq").checkpoint
    let found = try attach(options(.loftq, .pooled, rank: 5), to: "loftq.rilq").checkpoint
    let (a, other) = try (
      Fixtures.floats(name + ".lora_A.weight", in: found), Fixtures.floats(name + ".lora_A.weight", in: zero)
    )
    #expect(a[4...] == other[4...])
    #expect(a[..<4] != other[..<4])
    let b = try Fixtures.floats(name + ".lora_B.weight", in: found)
    #expect(b.indices.allSatisfy { $0 % 5 < 2 || b[$0] == 0 })
    #expect(b.indices.allSatisfy { $0 % 5 >= 2 || b[$0] != 0 })
  }

  @Test func `LoftQ in several iterations replaces codes and tables`() throws {
    // Dtypes and widths must stay those of each module.
    let mixed = try QuantizeOptions {
      $0.tables = .bf16
      $0.overrides = [QuantizeOverride(targets: try patterns("*.mlp.*"), bits: 3, groupSize: 32)]
    }
    let quantized = try bench.run(.quantize(mixed), to: "q.rilq").checkpoint
    let runs = try [1, 5].map { count in
      let attach = options(.loftq, .dense) {
        $0.teacher = PathOption(bench.input.path)
        $0.iterations = count
      }
      return try bench.run(.attach(attach), on: quantized, to: "\(count).rilq")
    }
    #expect(runs[1].checkpoint.contents.tensors == runs[0].checkpoint.contents.tensors)
    #expect(runs[1].checkpoint.contents.quantization == quantized.contents.quantization)
    try expectSameTensors(quantized, runs[0].checkpoint)
    let module = "model.layers.0.mlp.up_proj"
    for tensor in ["weight", "scales", "biases"].map({ "\(module).\($0)" }) {
      #expect(
        try runs[1].checkpoint.copiedBytes(of: tensor) != quantized.copiedBytes(of: tensor), "\(tensor)")
    }
    let errors = try runs.map { try #require($0["relative_error_after"]?.double) }
    #expect(runs[0]["relative_error_before"] == runs[1]["relative_error_before"])
    #expect(errors[1] < 0.99 * errors[0])
    #expect(try abs(weightError(of: runs[1].checkpoint) / errors[1] - 1) < 1e-4)
  }

  @Test func `LoftQ in several iterations gives the same bytes on any number of threads`() throws {
    let outputs = try [1, 3].map { count in
      let again = options(.loftq, .dense, rank: 8) { $0.iterations = 2 }
      return try ThreadLimit.with(count) { try attach(again, to: "threads-\(count).rilq").checkpoint }
    }
    try expectSameTensors(outputs[0], outputs[1])
  }

  @Test func `rounding again is planned by name, and refused beside trained changes of tables`() throws {
    let quantized = try bench.run(.quantize(QuantizeOptions()), to: "q.rilq").checkpoint
    let again = options(.loftq, .dense) {
      $0.teacher = PathOption(bench.input.path)
      $0.iterations = 3
    }
    let recipe = Recipe(
      input: PathOption(quantized.path), output: PathOption(bench.folder.path("out.rilq")),
      passes: [.attach(again)])
    let plan = try Pipeline(recipe, Pipeline.Options(version: "0.0.0")).plan()
    #expect(
      plan.passes[0].changes[0].action
        == "dense adapter, rank 16, loftq of 3 iterations, rounds the weight again")
    let trained = try bench.run(
      .calibrate(
        CalibrateOptions {
          $0.texts = [Self.text]
          $0.samples = 4
          $0.length = 32
          $0.updates = 1
          $0.batch = 2
          $0.validation = 2
          $0.teacher = PathOption(bench.input.path)
        }), on: quantized, to: "trained.rilq"
    ).checkpoint
    let reason = message { try bench.run(.attach(again), on: trained) }
    #expect(
      reason.says("module 'model.layers.0.mlp.down_proj': rounding … again …"))
  }

  @Test(arguments: [AdapterInitialization.qera, .atc])
  func `a pooled one merges into the tables without a change`(
    initialization: AdapterInitialization
  ) throws {
    let attached = try attach(options(initialization, .pooled)).checkpoint
    let merged = try bench.run(.merge(MergeOptions()), on: attached, to: "merged.rilq").checkpoint
    #expect(relativeError(try merged.logits(sampleTokens), try attached.logits(sampleTokens)) < 1e-5)
  }

  @Test func `a layer is compensated for what the compensated layers before it give`() throws {
    let name = "model.layers.1.mlp.up_proj.lora_A.weight"
    let all = try attach(options(.qera, .dense), to: "all.rilq").checkpoint
    let second = try patterns("model.layers.1.*")
    let alone = try attach(options(.qera, .dense) { $0.targets = second }, to: "alone.rilq").checkpoint
    #expect(try all.copiedBytes(of: name) != alone.copiedBytes(of: name))
    #expect(alone.contents.tensors.count { $0.name.hasSuffix(".lora_A.weight") } == 7)
  }

  @Test func `the same bytes on any number of threads`() throws {
    let outputs = try [1, 2, 5].map { count in
      try ThreadLimit.with(count) {
        try attach(options(.qera, .dense, rank: 8), to: "threads-\(count).rilq").checkpoint
      }
    }
    try expectSameTensors(outputs[0], outputs[1])
    try expectSameTensors(outputs[0], outputs[2])
  }

  @Test(arguments: AdapterParameters.Kind.allCases)
  func `align-then-correct takes steps down the loss`(kind: AdapterParameters.Kind) throws {
    let zero = try attach(options(.zero, kind), to: "zero.rilq").checkpoint
    let runs = try [0, 0.1].map { tau in
      try attach(options(.atc, kind) { $0.tau = tau }, to: "atc-\(tau).rilq")
    }
    for run in runs {
      let before = try #require(run["nll_per_token_before"]?.double)
      #expect(try #require(run["nll_per_token_after"]?.double) < before - 0.02)
    }
    let perplexities = try [zero, runs[0].checkpoint, runs[1].checkpoint].map(perplexity)
    #expect(perplexities[1] < perplexities[0])
    #expect(perplexities[2] < perplexities[1])
  }

  @Test func `alpha and the size of groups are divided out of both stages`() throws {
    let logits = try [4.0, 32].map { alpha in
      let few = options(.atc, .pooled, rank: 4) {
        $0.alpha = alpha
        $0.samples = 4
      }
      return try attach(few, to: "\(alpha).rilq").checkpoint.logits(sampleTokens)
    }
    // Gradients are taken from what the adapters found so far give, which is kept in singles.
    #expect(relativeError(logits[0], logits[1]) < 1e-3)
  }

  @Test func `align-then-correct gives the same bytes on any number of threads`() throws {
    let outputs = try [1, 3].map { count in
      let few = options(.atc, .dense, rank: 4) { $0.samples = 4 }
      return try ThreadLimit.with(count) { try attach(few, to: "threads-\(count).rilq").checkpoint }
    }
    try expectSameTensors(outputs[0], outputs[1])
  }

  @Test func `a teacher can be named`() throws {
    let quantized = try bench.run(.quantize(QuantizeOptions()), to: "q.rilq").checkpoint
    let expected = try attach(options(.loftq, .dense)).checkpoint
    let named = options(.loftq, .dense) { $0.teacher = PathOption(bench.input.path) }
    let attached = try bench.run(.attach(named), on: quantized, to: "named.rilq").checkpoint
    try expectSameTensors(expected, attached)
  }

  @Test func `refuses a teacher that is quantized, or has other shapes`() throws {
    let quantized = try bench.run(.quantize(QuantizeOptions()), to: "q.rilq").checkpoint
    let none = message { try bench.run(.attach(options(.loftq, .dense)), on: quantized) }
    #expect(none.says("\(quantized.path): … quantized … 'teacher' …"))
    let other = try TinyModel().write(to: bench.folder.path("other"))
    let wrong = options(.loftq, .dense) { $0.teacher = PathOption(other.path) }
    #expect(
      message { try bench.run(.attach(wrong), on: quantized) }.says("… 4 … 2 layers"))
    let wide = try TinyModel { ($0.layerCount, $0.hiddenSize) = (4, 256) }.write(
      to: bench.folder.path("wide"))
    let wider = options(.loftq, .dense) { $0.teacher = PathOption(wide.path) }
    #expect(
      message { try bench.run(.attach(wider), on: quantized) }.says(
        "module 'model.layers.0.self_attn.q_proj': … [128, 128] … [256, 256]"))
  }

  @Test func `refuses weights that lost nothing`() throws {
    let text = message { try bench.run(.attach(options(.loftq, .dense))) }
    #expect(text.says("module 'model.layers.0.mlp.down_proj': … 'loftq' … quantized …"))
  }

  @Test(arguments: [
    ("{init: qera}", "the initialization 'qera' needs a 'text'"),
    ("{init: svd}", "is 'svd', expected zero, loftq, qera or atc"),
    ("{text: t}", "'text' is not used by the initialization 'zero'"),
    ("{init: loftq, samples: 4}", "'samples' is not used by the initialization 'loftq'"),
    ("{init: zero, teacher: t}", "'teacher' is not used by the initialization 'zero'"),
    ("{init: qera, text: t, length: 1}", "is '1', expected an integer from 2 to 1048576"),
    ("{init: atc, kind: dense}", "the initialization 'atc' needs a 'text'"),
    ("{init: qera, text: t, eta: 0.1}", "'eta' is not used by the initialization 'qera'"),
    ("{init: loftq, tau: 0.1}", "'tau' is not used by the initialization 'loftq'"),
    ("{init: atc, kind: dense, text: t, eta: 0}", "is '0', expected a number above 0 and at most 1"),
    ("{init: atc, kind: dense, text: t, tau: 2}", "is '2', expected a number from 0 to 1"),
    ("{init: zero, iterations: 1}", "'iterations' is not used by the initialization 'zero'"),
    ("{init: qera, text: t, iterations: 5}", "'iterations' is not used by the initialization 'qera'"),
    ("{init: loftq, kind: dense, iterations: 0}", "is '0', expected an integer from 1 to 20"),
    ("{init: loftq, kind: dense, iterations: 21}", "is '21', expected an integer from 1 to 20"),
    (
      "{init: loftq, iterations: 2}",
      "more than 1 of 'iterations' need adapters of the kind 'dense': rounding would cancel the biases that a pooled adapter adds"
    ),
    ("{adapter: a, init: loftq}", "does not go with 'adapter', which has its own"),
  ])
  func `refuses options`(text: String, reason: String) {
    let error = message { _ = try parsePass("attach: \(text)") }
    #expect(error.hasSuffix(reason), "\(error)")
    #expect(error.contains("line 4"))
  }

  @Test func `reads what it writes`() throws {
    let recipe = try parse(
      recipeText(
        passes: "attach: {init: qera, text: t, samples: 3, length: 9, teacher: o, kind: dense}",
        "attach: {init: atc, text: t, eta: 0.2, tau: 0.05}",
        "attach: {init: loftq, kind: dense, iterations: 4}"))
    #expect(try parse(recipe.resolvedYAML()).passes == recipe.passes)
    let options = try #require(recipe.passes[0].options(of: AttachPass.self))
    #expect(options.text == PathOption("t", in: "recipes") && options.samples == 3)
  }
}
