import Checkpoints
import Kernels
import Models
import Passes
import TestSupport
import Testing

@Suite(.serialized) struct LayerwiseQuantizationTests {
  private static let text = PathOption(Fixtures.path("tiny-llama/calibration.txt"))

  private func options(_ method: QuantizeMethod, _ change: (inout QuantizeOptions) -> Void = { _ in })
    -> QuantizeOptions
  {
    var options = QuantizeOptions {
      $0.method = method
      $0.texts = [Self.text]
      $0.samples = 16
      $0.length = 128
    }
    change(&options)
    return options
  }

  @Test func `each method is better than the one before it`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let rtn = try bench.run(.quantize(QuantizeOptions()), to: "rtn.rilq")
    let plain = try bench.run(
      .quantize(QuantizeOptions { $0.method = .search }), to: "plain.rilq")
    let search = try bench.run(.quantize(options(.search)), to: "search.rilq")
    let gptq = try bench.run(.quantize(options(.gptq)), to: "gptq.rilq")
    let perplexities = try [rtn, plain, search, gptq].map { try perplexity(of: $0.checkpoint) }
    #expect(perplexities[1] < 0.85 * perplexities[0])
    #expect(perplexities[2] < 1.01 * perplexities[1])
    #expect(perplexities[3] < 0.97 * perplexities[2])
    let errors = try [search, gptq].map { try #require($0["relative_output_error"]?.double) }
    #expect(errors[1] < 0.9 * errors[0])
    #expect(gptq["damping"] == .double(0.01) && gptq["modules"] == .integer(28))
    #expect(gptq["modules_without_statistics"] == nil && search["damping"] == nil)
  }

  @Test(arguments: [QuantizeMethod.rtn, .hqq, .search, .gptq])
  func `refinement lowers the error of every method`(method: QuantizeMethod) throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let refit = try bench.run(.quantize(options(method) { $0.refit = true }), to: "refit.rilq")
    let both = try bench.run(
      .quantize(
        options(method) {
          $0.refit = true
          $0.sweeps = 3
        }), to: "both.rilq")
    let errors = try [refit, both].map { try #require($0["relative_output_error"]?.double) }
    #expect(errors[1] < 0.98 * errors[0])
    if method == .search || method == .gptq {
      let plain = try bench.run(.quantize(options(method)), to: "plain.rilq")
      #expect(errors[0] < (try #require(plain["relative_output_error"]?.double)))
    }
  }

  @Test func `propagation brings the outputs behind quantized layers nearer to the original's`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let plain = try bench.run(.quantize(options(.gptq)), to: "plain.rilq").checkpoint
    // So small a share changes no weight, but outputs are compared with the original's on its own inputs.
    let compared = try bench.run(
      .quantize(options(.gptq) { $0.propagation = 1e-12 }), to: "compared.rilq")
    let result = try bench.run(.quantize(options(.gptq) { $0.propagation = 0.5 }), to: "corrected.rilq")
    let corrected = result.checkpoint
    #expect(try perplexity(of: corrected) < perplexity(of: plain))
    try expectSameTensors(plain, compared.checkpoint)
    let errors = try [compared, result].map { try #require($0["relative_output_error"]?.double) }
    #expect(errors[1] < 0.98 * errors[0])
    // Nothing is quantized before the first layer's attention.
    let first = "model.layers.0.self_attn.q_proj.weight"
    #expect(try corrected.copiedBytes(of: first) == plain.copiedBytes(of: first))
    let second = "model.layers.1.self_attn.q_proj.weight"
    #expect(try corrected.copiedBytes(of: second) != plain.copiedBytes(of: second))
  }

  @Test(arguments: [0, 0.5])
  func `layers that are trained give more nearly what the original's give`(propagation: Double) throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let change = { (epochs: Int) in
      { (options: inout QuantizeOptions) in
        options.propagation = propagation
        options.layerEpochs = epochs
        // With fewer windows training learns them by heart.
        options.samples = 32
        options.tables = .f16
      }
    }
    let plain = try bench.run(.quantize(options(.gptq, change(0))), to: "plain.rilq")
    let trained = try bench.run(.quantize(options(.gptq, change(4))), to: "trained.rilq")
    let before = try #require(trained["layer_loss_before"]?.double)
    let after = try #require(trained["layer_loss_after"]?.double)
    #expect(after < 0.9 * before && plain["layer_loss_before"] == nil)
    let changed = try #require(trained["changed_codes"]?.double)
    #expect(changed > 0.005 && changed < 0.5 && trained["layers_put_back"] == nil)
    #expect(try perplexity(of: trained.checkpoint) < 0.99 * perplexity(of: plain.checkpoint))
    for name in ["q_proj", "k_proj", "v_proj", "o_proj"] {
      let name = "model.layers.0.self_attn.\(name)"
      #expect(
        try trained.checkpoint.copiedBytes(of: name + ".weight")
          != plain.checkpoint.copiedBytes(of: name + ".weight"))
      #expect(trained.checkpoint.tensor(named: name + ".scales")?.dtype == .f16)
    }
  }

  @Test func `with rounded products layers come to nearly the same loss, and the report says so`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let outputs = try ProductOperands.allCases.map { products in
      let quantize = options(.gptq) {
        $0.propagation = 0.5
        $0.layerEpochs = 1
        $0.products = products
      }
      return try bench.run(.quantize(quantize), to: "\(products.rawValue).rilq")
    }
    let losses = try outputs.map { try #require($0["layer_loss_after"]?.double) }
    #expect(abs(losses[1] / losses[0] - 1) < 0.01)
    let products = ProductOperands.bf16.onThisProcessor
    #expect(outputs[1]["products"]?.string == products.rawValue && outputs[0]["products"] == nil)
    #expect((losses[0] == losses[1]) == (products == .f32))
  }

  @Test func `the report counts the codes that training changes`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let targets = try patterns("model.layers.0.*")
    let results = try [(0, 0.01), (2, 0.01), (2, 0)].map { epochs, rate in
      let quantize = options(.gptq) {
        $0.targets = targets
        $0.layerEpochs = epochs
        $0.layerCodeRate = rate
      }
      return try bench.run(.quantize(quantize), to: "\(epochs)-\(rate).rilq")
    }
    let (plain, trained) = (results[0].checkpoint, results[1])
    let modules = plain.contents.quantization.keys
    let codes = try modules.map { module in
      try [plain, trained.checkpoint].map { checkpoint in
        let stored = try checkpoint.copiedBytes(of: module + ".weight")
        return stored.flatMap { byte in (0..<4).map { byte >> UInt8(2 * $0) & 3 } }
      }
    }
    let changes = codes.reduce(0) { $0 + zip($1[0], $1[1]).count { $0 != $1 } }
    let count = codes.reduce(0) { $0 + $1[0].count }
    #expect(changes > 0 && trained["changed_codes"]?.double == Double(changes) / Double(count))
    #expect(results[2]["changed_codes"]?.double == 0)
  }

  @Test func `training that gains nothing leaves the codes and tables of the method`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let plain = try bench.run(.quantize(options(.search)), to: "plain.rilq").checkpoint
    let spoiled = try bench.run(
      .quantize(
        options(.search) {
          $0.layerEpochs = 1
          $0.layerLearningRate = 1
          $0.layerCodeRate = 1
        }), to: "spoiled.rilq")
    #expect(spoiled["layer_loss_before"] == spoiled["layer_loss_after"])
    #expect(spoiled["changed_codes"]?.double == 0 && spoiled["layers_put_back"]?.integer == 4)
    try expectSameTensors(plain, spoiled.checkpoint)
  }

  @Test func `the plan's memory knows the windows of propagation`() throws {
    let bench = try Workbench()
    let plans = try [0, 0.5].map { share in
      let recipe = Recipe(
        input: PathOption(bench.input.path), output: PathOption(bench.folder.path("out.rilq")),
        passes: [.quantize(options(.gptq) { $0.propagation = share })])
      return try Pipeline(recipe, Pipeline.Options(version: "0.0.0")).plan().passes[0].memory
    }
    // The windows in the original and the inputs that they keep, cross moments in doubles, and the correction in
    // floats.
    #expect(plans[1] >= plans[0] + 4 * 16 * 128 * (128 + 128 + 128) + (8 + 4) * 128 * 128)
  }

  @Test func `the same text gives the same bytes on any number of threads`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let outputs = try [1, 2, 5].map { count in
      let quantize = options(.gptq) {
        $0.samples = 6
        $0.refit = true
        $0.sweeps = 1
        $0.propagation = 0.5
        $0.layerEpochs = 1
        $0.layerBatch = 3
      }
      return try ThreadLimit.with(count) {
        try bench.run(.quantize(quantize), to: "threads-\(count).rilq").checkpoint
      }
    }
    try expectSameTensors(outputs[0], outputs[1])
    try expectSameTensors(outputs[0], outputs[2])
  }

  @Test func `a layer is quantized for what the quantized layers before it give`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let second = try patterns("model.layers.1.*")
    let alone = try bench.run(.quantize(options(.gptq) { $0.targets = second }), to: "alone.rilq").checkpoint
    let all = try bench.run(.quantize(options(.gptq)), to: "all.rilq").checkpoint
    let first = try bench.run(
      .quantize(options(.gptq) { $0.targets = (try? patterns("model.layers.0.*")) }), to: "first.rilq"
    ).checkpoint
    let after = try bench.run(
      .quantize(options(.gptq) { $0.targets = second }), on: first, to: "after.rilq"
    ).checkpoint
    let name = "model.layers.1.mlp.up_proj.weight"
    #expect(try after.copiedBytes(of: name) == all.copiedBytes(of: name))
    #expect(try alone.copiedBytes(of: name) != all.copiedBytes(of: name))
  }

  @Test(arguments: ["model.layers.0.self_attn.q_proj", "model.layers.3.mlp.down_proj"])
  func `a linear alone is reached by the text, wherever it is`(name: String) throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let target = try patterns(name)
    let output = try bench.run(.quantize(options(.gptq) { $0.targets = target }))
    #expect(output["modules"] == .integer(1) && output["modules_without_statistics"] == nil)
    #expect(output.checkpoint.contents.quantization.keys.sorted() == [name])
  }

  @Test(arguments: [QuantizeMethod.search, .gptq])
  func `the head is reached by the text, the embedding is not`(method: QuantizeMethod) throws {
    let bench = try Workbench()
    let all = try patterns("*")
    let output = try bench.run(.quantize(options(method) { $0.targets = all }), to: "all.rilq")
    #expect(output["modules"] == .integer(16))
    #expect(output["modules_without_statistics"] == .integer(1))
    #expect(output.checkpoint.contents.quantization["lm_head"] != nil)
    #expect(output.checkpoint.contents.quantization["model.embed_tokens"] != nil)
  }

  /// A model whose embedding is its head, with a few inputs of the head that are much larger than the others.
  private func tiedBench(hiddenSize: Int = 128) throws -> Workbench {
    let model = TinyModel {
      $0.tiesEmbeddings = true
      $0.hiddenSize = hiddenSize
    }
    return try Workbench(model) { name, values in
      guard name == "model.norm.weight" else { return }
      for i in stride(from: 3, to: values.count, by: 16) { values[i] *= 8 }
    }
  }

  private func meanKL(_ checkpoint: Checkpoint, against reference: Checkpoint, _ bench: Workbench) throws
    -> Double
  {
    let verify = VerifyOptions {
      $0.text = Self.text
      $0.against = .path(PathOption(reference.path))
      $0.window = 64
      $0.maxTokens = 1024
      $0.continuations = 0
      $0.maxMeanKL = 100
    }
    return try #require(
      try bench.run(.verify(verify), on: checkpoint, to: "copy.rilq", force: true)["mean_kl"]?.double)
  }

  /// The squared error of the embedding, each column weighted as the head's inputs are large on average, and all
  /// as much again.
  private func headError(of checkpoint: Checkpoint, _ bench: Workbench) throws -> Double {
    let (quantized, original) = (
      try Transformer(checkpoint).embedding, try Transformer(bench.input).embedding
    )
    let squares = try Fixtures.floats("model.norm.weight", in: bench.input).map { Double($0 * $0) }
    let mean = squares.reduce(0, +) / Double(squares.count)
    let rows = 0..<original.rowCount
    return zip(quantized.floats(rows: rows), original.floats(rows: rows)).enumerated().reduce(0) {
      sum, pair in
      let difference = Double(pair.element.0 - pair.element.1)
      return sum + (squares[pair.offset % squares.count] + mean) * difference * difference
    }
  }

  @Test func `an embedding that is the output head is quantized by the inputs of the head`() throws {
    let bench = try tiedBench()
    let name = "model.embed_tokens"
    let target = try patterns(name)
    let layers = options(.gptq) {
      $0.propagation = 0.5
      $0.refit = true
      $0.sweeps = 1
    }
    let result = try bench.run(
      .quantize(
        options(.gptq) {
          $0.propagation = 0.5
          $0.refit = true
          $0.sweeps = 1
          $0.embeddingBits = 3
        }), to: "both.rilq")
    let both = result.checkpoint
    #expect(result["modules"] == .integer(15) && result["modules_without_statistics"] == nil)
    #expect(both.contents.quantization[name] == .affine(bits: 3, groupSize: 64))
    // The layers are quantized with the original embedding.
    let alone = try bench.run(.quantize(layers), to: "alone.rilq").checkpoint
    try expectSameTensors(alone, both) { $0.hasPrefix(name) }
    // Its error is small where the head's inputs are large, other than that of a search by the values alone.
    let plain = try bench.run(
      .quantize(
        QuantizeOptions {
          $0.method = .search
          $0.bits = 3
          $0.targets = target
        }), on: alone, to: "plain.rilq"
    ).checkpoint
    let errors = try [both, plain].map { try headError(of: $0, bench) }
    #expect(errors[0] < errors[1], "\(errors)")
  }

  @Test func `embedding and head get their bits beside the targets, and exceptions hold`() throws {
    let bench = try Workbench()
    func layouts(_ change: (inout QuantizeOptions) -> Void) throws -> [String: QuantizedLayout] {
      try bench.run(.quantize(QuantizeOptions(change)), force: true).checkpoint.contents.quantization
    }
    let all = try layouts { $0.embeddingBits = 4 }
    #expect(all.count == 16 && all["lm_head"]?.bits == 4 && all["model.embed_tokens"]?.bits == 4)
    let (named, head) = (try patterns("q_proj"), try patterns("lm_head"))
    let some = try layouts {
      $0.embeddingBits = 4
      $0.targets = named
      $0.ignore = head
    }
    #expect(some.filter { $0.value.bits == 4 }.map(\.key) == ["model.embed_tokens"] && some.count == 3)
    let overridden = try layouts {
      $0.embeddingBits = 4
      $0.overrides = [QuantizeOverride(targets: head, bits: 8)]
    }
    #expect(overridden["lm_head"]?.bits == 8 && overridden["model.embed_tokens"]?.bits == 4)
  }

  @Test func `on a grid of blocks the embedding gets blocks of its own bits`() throws {
    let bench = try tiedBench(hiddenSize: 256)
    let output = try bench.run(
      .quantize(
        options(.gptq) {
          $0.grid = .q2K
          $0.fallbackBits = 4
          $0.embeddingBits = 5
          $0.refit = true
          $0.sweeps = 1
        }))
    let quantization = output.checkpoint.contents.quantization
    #expect(quantization["model.embed_tokens"] == .superBlock(.q5K))
    #expect(quantization["model.layers.0.self_attn.q_proj"] == .superBlock(.q2K))
    #expect(try meanKL(output.checkpoint, against: bench.input, bench).isFinite)
    #expect(throws: PassError.self) {
      try parse(recipeText(passes: "quantize: {grid: q2_k, embedding_bits: 8}"))
    }
  }

  @Test func `a text that is too short says how many tokens are needed`() throws {
    let bench = try Workbench()
    let path = try bench.folder.write("short.txt", "In the beginning")
    let quantize = options(.gptq) { $0.texts = [PathOption(path)] }
    #expect(throws: ModelError.textTooShort(path: path, tokens: 7, needed: 16 * 128)) {
      try bench.run(.quantize(quantize))
    }
    #expect(try bench.folder.names() == ["model", "short.txt"])
  }

  @Test func `a weight that is not finite is refused by its index`() throws {
    let name = "model.layers.1.mlp.down_proj.weight"
    let bench = try Workbench { tensor, values in
      if tensor == name { values[128 * 70 + 5] = .infinity }
    }
    #expect(throws: PassError.notFinite(tensor: name, index: 128 * 70 + 5)) {
      try bench.run(.quantize(options(.gptq)))
    }
    #expect(try bench.folder.names() == ["model"])
  }

  @Test func `steps of a layer together compute the layer`() throws {
    let bench = try Workbench()
    let model = try Transformer(bench.input)
    let rotary = model.rotaryTables(positions: sampleTokens.count)
    var whole = try model.stream(of: sampleTokens)
    var window = HaltedWindow(whole)
    for layer in model.layers {
      model.forward(layer, &whole, rotary: rotary)
      var sum = window.hidden
      var inputs: [Matrix] = []
      for group in layer.groupKinds {
        model.advance(&window, through: layer, to: .before(group), rotary: rotary)
        inputs.append(model.input(of: window, layer, before: group))
      }
      model.advance(&window, through: layer, to: layer.end, rotary: rotary)
      // The inputs are those of the layer: what its second and its last group make of theirs is what it adds.
      for (input, group) in [(inputs[1], layer[.attentionOutput]), (inputs[3], layer[.down])] {
        var values = sum.values.mutableSpan
        addScaled(group(input).values.span, scale: 1, to: &values)
      }
      #expect(sum == whole.hidden)
      #expect(inputs[3] == model.gated(layer[.gateAndUp](inputs[2]), by: .silu))
    }
    #expect(window.hidden == whole.hidden)
  }
}
