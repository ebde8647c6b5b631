import Checkpoints
import Kernels
import Models
import Passes
import TestSupport
import Testing

@Suite struct CalibrateTests {
  private static let text = PathOption(Fixtures.path("tiny-llama/calibration.txt"))

  /// Short enough for a test: 16 windows of 64 tokens, each seen three times.
  private func options(_ change: (inout CalibrateOptions) -> Void = { _ in }) -> PassOptions {
    var options = CalibrateOptions {
      $0.texts = [Self.text]
      $0.samples = 16
      $0.length = 64
      $0.updates = 12
      $0.batch = 4
      $0.learningRate = 2e-3
      $0.validation = 4
      $0.validateEvery = 3
    }
    change(&options)
    return .calibrate(options)
  }

  private func bench() throws -> Workbench { try Workbench(fixture: "tiny-llama") }

  private let quantize = PassOptions.quantize(QuantizeOptions())
  private let attach = PassOptions.attach(
    AttachOptions {
      $0.kind = .pooled
      $0.rank = 4
    })

  @Test func `lowers the validation loss and writes the state that it reports`() throws {
    let bench = try self.bench()
    let result = try bench.run(quantize, attach, options())
    let before = try #require(result["validation_before"]?["loss"]?.double)
    let after = try #require(result["validation_after"]?["loss"]?.double)
    #expect(after < before)
    #expect(abs(try validationLoss(of: result.checkpoint, bench, options()) - after) < 1e-6)
  }

  @Test func `restores the best of the validated states`() throws {
    let bench = try self.bench()
    // So fast that it soon overshoots; patience keeps it going afterwards.
    let options = options {
      $0.learningRate = 0.05
      $0.updates = 24
      $0.validateEvery = 1
      $0.patience = 24
    }
    let result = try bench.run(quantize, attach, options, log: "log")
    let lines = try logLines(bench)
    let losses = lines.compactMap { $0["validation_loss"]?.double }
    #expect(losses.count == 25)
    let best = try #require(losses.min())
    #expect(result["validation_after"]?["loss"]?.double == best)
    #expect(result["best_update"]?.integer == losses.firstIndex(of: best))
    #expect(best < losses[24], "the last state is the best one, so that this proves nothing")
    #expect(abs(try validationLoss(of: result.checkpoint, bench, options) - best) < 1e-6)
  }

  @Test func `stops when validation has not improved for a while`() throws {
    let bench = try self.bench()
    let options = options {
      $0.learningRate = 0.05
      $0.updates = 60
      $0.validateEvery = 2
      $0.patience = 2
    }
    let result = try bench.run(quantize, attach, options)
    let best = try #require(result["best_update"]?.integer)
    #expect(result["updates"]?.integer == best + 4)
  }

  @Test func `keeps nothing when no validation was better than the start`() throws {
    let bench = try self.bench()
    let text = message { try bench.run(quantize, attach, options { $0.learningRate = 1 }) }
    #expect(text.contains("nothing is kept") || text.contains("is not finite"))
    #expect(text.contains("try a smaller learning rate than 1.0"))
    #expect(try bench.folder.names().isEmpty)
  }

  @Test func `repeats bit for bit`() throws {
    let bench = try self.bench()
    let train = options { $0.train = Trainable.allCases }
    let first = try bench.run(quantize, attach, train, to: "1.rilq").checkpoint
    let second = try bench.run(quantize, attach, train, to: "2.rilq").checkpoint
    #expect(first.contents.tensors == second.contents.tensors)
    try expectSameTensors(first, second)
  }

  @Test func `with rounded products it comes to nearly the same loss, and says what was rounded`() throws {
    let bench = try self.bench()
    let exact = try bench.run(quantize, attach, options(), to: "exact.rilq")
    let rounded = try bench.run(quantize, attach, options { $0.products = .bf16 }, to: "rounded.rilq")
    let losses = try [exact, rounded].map { try #require($0["validation_after"]?["loss"]?.double) }
    #expect(abs(losses[1] / losses[0] - 1) < 0.01)
    let products = ProductOperands.bf16.onThisProcessor
    #expect(rounded["products"]?.string == products.rawValue && exact["products"] == nil)
    #expect((losses[0] == losses[1]) == (products == .f32))
  }

  @Test(arguments: [[Trainable.adapter], [.bias], [.bias, .scale], [.adapter, .scale]])
  func `leaves what is not trained byte for byte`(train: [Trainable]) throws {
    let bench = try self.bench()
    let start = try bench.run(quantize, attach, to: "start.rilq").checkpoint
    let calibrate = options {
      $0.train = train
      $0.teacher = PathOption(bench.input.path)
    }
    let output = try bench.run(calibrate, on: start).checkpoint
    let isAdapter = { (name: String) in name.contains(".lora_") }
    try expectSameTensors(start, output) { train.contains(.adapter) && isAdapter($0) }
    let added = output.contents.tensors.map(\.name).filter { start.tensor(named: $0) == nil }
    #expect(added.count { $0.hasSuffix(".biases_delta") } == (train.contains(.bias) ? 28 : 0))
    #expect(added.count { $0.hasSuffix(".scales_delta") } == (train.contains(.scale) ? 28 : 0))
    let changed = try start.contents.tensors.map(\.name).filter {
      try isAdapter($0) && start.copiedBytes(of: $0) != output.copiedBytes(of: $0)
    }
    #expect(changed.count == (train.contains(.adapter) ? 56 : 0))
  }

  @Test func `trained codes fit the windows far better than tables alone`() throws {
    let bench = try self.bench()
    let start = try bench.run(quantize, to: "start.rilq").checkpoint
    let results = try [[Trainable.bias, .scale], [.bias, .scale, .code]].map { train in
      let calibrate = options {
        $0.train = train
        $0.samples = 64
        $0.batch = 8
        $0.updates = 150
        $0.schedule = .cosine
        $0.validateEvery = 150
        $0.learningRateScale.code = 8
        $0.teacher = PathOption(bench.input.path)
      }
      return try bench.run(calibrate, on: start, to: "\(train.count).rilq")
    }
    // 2.03 and 1.25 where this was written.
    let losses = try results.map { try #require($0["training_last"]?["loss"]?.double) }
    #expect(losses[1] < 0.75 * losses[0])
    let weights = start.contents.tensors.filter { $0.dtype == .u32 }.map(\.name)
    #expect(weights.count == 28)
    for name in weights {
      let before = try start.copiedBytes(of: name)
      #expect(try results[0].checkpoint.copiedBytes(of: name) == before)
      #expect(try results[1].checkpoint.copiedBytes(of: name) != before)
    }
    // What is written is what was validated.
    let after = try #require(results[1]["validation_after"]?["loss"]?.double)
    let written = try validationLoss(of: results[1].checkpoint, bench, options { $0.samples = 64 })
    #expect(abs(written - after) < 1e-6)
    #expect(results[1]["parameters"]?.integer == 786_432 + 2 * 12_288)
  }

  @Test func `codes that are trained leave the training of tables as it is until one of them moves`() throws {
    let bench = try self.bench()
    let checkpoints = try [[Trainable.bias, .scale], [.bias, .scale, .code]].map { train in
      let calibrate = options {
        $0.train = train
        $0.updates = 3
        // Three steps of 2e-8 from the middle of a code.
        $0.learningRateScale.code = 1e-5
      }
      return try bench.run(quantize, calibrate, to: "\(train.count).rilq").checkpoint
    }
    for tensor in checkpoints[0].contents.tensors {
      guard tensor.name.hasSuffix("_delta") else {
        #expect(
          try checkpoints[0].copiedBytes(of: tensor.name) == checkpoints[1].copiedBytes(of: tensor.name))
        continue
      }
      let values = try checkpoints.map { try Fixtures.floats(tensor.name, in: $0) }
      let size = values[0].map(abs).max() ?? 0
      let difference = zip(values[0], values[1]).map { abs($0 - $1) }.max() ?? 0
      #expect(difference <= 1e-3 * size, "\(tensor.name): \(difference) of \(size)")
    }
  }

  @Test func `each part takes its share of the learning rate`() throws {
    let bench = try self.bench()
    let outputs = try [1.0, 0.5].map { share in
      let calibrate = options {
        $0.updates = 1
        $0.validateEvery = 1
        $0.learningRateScale.bias = share
      }
      return try bench.run(quantize, calibrate, to: "\(share).rilq").checkpoint
    }
    let module = "model.layers.1.mlp.up_proj"
    let biases = try outputs.map { try Fixtures.floats(module + ".biases_delta", in: $0) }
    #expect(zip(biases[0], biases[1]).allSatisfy { abs($0 - 2 * $1) <= 1e-4 * abs($0) + 1e-9 })
    let scales = try outputs.map { try $0.copiedBytes(of: module + ".scales_delta") }
    #expect(scales[0] == scales[1])
  }

  @Test func `going on from trained tables adds to their changes`() throws {
    let bench = try self.bench()
    let train = options {
      $0.train = [.bias, .scale]
      $0.teacher = PathOption(bench.input.path)
    }
    let first = try bench.run(quantize, train, to: "1.rilq")
    let second = try bench.run(train, on: first.checkpoint, to: "2.rilq")
    let name = "model.layers.0.mlp.up_proj.biases_delta"
    #expect(try first.checkpoint.copiedBytes(of: name) != second.checkpoint.copiedBytes(of: name))
    let before = try #require(second["validation_before"]?["loss"]?.double)
    let after = try #require(first["validation_after"]?["loss"]?.double)
    #expect(abs(before - after) < 1e-5)
  }

  @Test func `without an adapter biases and scales are trained`() throws {
    let output = try bench().run(quantize, options()).checkpoint
    #expect(output.tensor(named: "model.layers.1.self_attn.o_proj.scales_delta")?.shape == [128, 2])
    #expect(output.tensor(named: "model.layers.1.self_attn.o_proj.biases_delta")?.dtype == .f32)
  }

  @Test func `a quantized head stays as it is`() throws {
    let bench = try self.bench()
    let all = PassOptions.quantize(try QuantizeOptions { $0.targets = try patterns("*_proj", "lm_head") })
    let output = try bench.run(all, options()).checkpoint
    #expect(output.contents.quantization["lm_head"] != nil)
    let deltas = output.contents.tensors.map(\.name).filter { $0.hasSuffix("_delta") }
    #expect(deltas.count == 56)
    #expect(!deltas.contains { $0.hasPrefix("lm_head") })
  }

  @Test(arguments: [
    (64, 1024, "have the shapes"), (128, 1025, "the vocabularies have 1024 and 1025 tokens"),
  ])
  func `refuses a teacher that is another model`(width: Int, vocabulary: Int, reason: String) throws {
    let bench = try Workbench(TinyModel { $0.hiddenSize = 128 })
    let other = try Workbench(
      TinyModel {
        $0.hiddenSize = width
        $0.vocabularySize = vocabulary
      })
    let options = options { $0.teacher = PathOption(other.input.path) }
    let text = message { try bench.run(quantize, options) }
    #expect(text.contains(reason), "\(text)")
    #expect(try bench.folder.names().filter { $0.hasSuffix(".rilq") }.isEmpty)
  }

  @Test func `refuses when only the head could be trained`() throws {
    let head = PassOptions.quantize(try QuantizeOptions { $0.targets = try patterns("lm_head") })
    let text = message { try bench().run(head, options()) }
    #expect(text.contains("neither quantized weights nor an adapter"))
  }

  @Test(arguments: LossScope.allCases)
  func `every scope lowers its own loss`(scope: LossScope) throws {
    let options = options {
      $0.scope = scope
      $0.groundTruthWeight = 0
      $0.modelWeight = 1
    }
    let result = try bench().run(quantize, options)
    let before = try #require(result["validation_before"]?["model_loss"]?.double)
    let after = try #require(result["validation_after"]?["model_loss"]?.double)
    #expect(after < before)
  }

  @Test func `a local scope takes the ground truth along`() throws {
    let bench = try self.bench()
    // With no weight of its own a local loss leaves what the model's scope does.
    let outputs = try [LossScope.model, .layer].map { scope in
      try bench.run(
        quantize,
        options {
          $0.scope = scope
          $0.modelWeight = 0
        }, to: "\(scope).rilq"
      ).checkpoint
    }
    try expectSameTensors(outputs[0], outputs[1])
  }

  /// All tokens as they are, and the likeliest ones softened.
  @Test(arguments: [(nil, 1), (32, 2)])
  func `lowers the divergence from the original's distribution`(topK: Int?, temperature: Double) throws {
    let options = options {
      $0.klWeight = 1
      ($0.klTopK, $0.klTemperature) = (topK, temperature)
      $0.modelWeight = 0
      $0.groundTruthWeight = 0
    }
    let result = try bench().run(quantize, options, log: "log")
    let before = try #require(result["validation_before"]?["kl_loss"]?.double)
    let after = try #require(result["validation_after"]?["kl_loss"]?.double)
    #expect(after < before && after > 0)
  }

  @Test func `a divergence needs memory for the logits of the original, too`() throws {
    let configuration = try ModelConfiguration(of: bench().input)
    var options = CalibrateOptions {
      $0.texts = [Self.text]
      $0.length = 16
    }
    let without = CalibratePass.windowMemory(configuration, options)
    options.klWeight = 1
    let more = CalibratePass.windowMemory(configuration, options) - without
    #expect(more == 4 * 16 * configuration.vocabularySize)
  }

  @Test func `the plan's memory knows what training holds of every table`() throws {
    let bench = try bench()
    func memory(_ train: [Trainable], validation: Int = 4) throws -> Int {
      let recipe = Recipe(
        input: PathOption(bench.input.path), output: PathOption(bench.folder.path("out.rilq")),
        passes: [
          quantize,
          .calibrate(
            CalibrateOptions {
              $0.texts = [Self.text]
              $0.length = 16
              $0.batch = 1
              $0.train = train
              $0.validation = validation
            }),
        ])
      return try Pipeline(recipe, Pipeline.Options(version: "0.0.0")).plan().passes[1].memory
    }
    let weights = bench.input.contents.tensors.filter { $0.name.hasSuffix("_proj.weight") }
    let tableByteCount = 4 * weights.reduce(0) { $0 + $1.elementCount } / 64
    // Scales that are not trained have their values alone; trained ones also start, parameters, two moments,
    // gradients, those of a window, and the best state.
    #expect(try memory([.bias, .scale]) == memory([.bias]) + 7 * tableByteCount)
    #expect(try memory([.bias]) == memory([.bias], validation: 0) + tableByteCount)
  }

  @Test func `an estimate beyond every number of bytes is the largest number`() throws {
    let configuration = try ModelConfiguration(of: bench().input)
    let options = CalibrateOptions {
      $0.texts = [Self.text]
      $0.length = .max
    }
    #expect(CalibratePass.windowMemory(configuration, options) == .max)
  }

  @Test func `fine-tunes on completions alone, of examples of any length`() throws {
    let bench = try self.bench()
    let lines = (0..<8).map { i in
      let prompt = String(repeating: "And he said unto them ", count: i + 1)
      return "{\"prompt\":\"\(prompt)\",\"completion\":\"let us go up to the house.\"}"
    }
    let path = try bench.folder.write("examples.jsonl", lines.joined(separator: "\n") + "\n")
    let options = options {
      $0.texts = [PathOption(path)]
      $0.samples = 6
      $0.validation = 2
      $0.modelWeight = 0
      $0.learningRate = 1e-2
    }
    let result = try bench.run(quantize, attach, options)
    let before = try #require(result["validation_before"]?["gt_loss"]?.double)
    let after = try #require(result["validation_after"]?["gt_loss"]?.double)
    #expect(after < before / 2)
    let source = WindowSource(
      texts: [path], samples: 8, length: 64, seed: 1, takesExamples: true)
    let windows = try fixtureWindows(source, in: bench.folder, input: bench.input)
    #expect(Set(windows.tokens.map(\.count)).count > 1)
    let longest = try #require(windows.training.max { $0.tokens.count < $1.tokens.count })
    let scored = try #require(longest.isScored)
    #expect(!scored.prefix(scored.count / 2).contains(true) && scored.contains(true))
  }

  @Test func `the learning rate rises, then falls along its shape`() {
    func rates(_ shape: LearningRateShape, warmup: Int) -> [Double] {
      let schedule = LearningRateSchedule(peak: 4, shape: shape, warmup: warmup, updates: 4 + warmup)
      return (1...4 + warmup).map { schedule.rate(of: $0) }
    }
    #expect(rates(.constant, warmup: 1) == [2, 4, 4, 4, 4])
    #expect(rates(.linear, warmup: 0) == [4, 3, 2, 1])
    let cosine = rates(.cosine, warmup: 3)
    #expect(cosine[..<3] == [1, 2, 3] && cosine[3] == 4)
    #expect(abs(cosine[5] - 2) < 1e-12)
    #expect(cosine[6] > 0 && cosine[6] < 1)
  }

  @Test func `keeps to a limit of memory by running layers twice, to the same bytes`() throws {
    let bench = try self.bench()
    let free = try bench.run(quantize, options(), to: "1.rilq").checkpoint
    let limited = try bench.run(quantize, options(), to: "2.rilq", memoryLimit: 1).checkpoint
    try expectSameTensors(free, limited)
  }

  @Test func `the log has a JSON object for the start and each update`() throws {
    let bench = try self.bench()
    try bench.run(quantize, attach, options(), log: "log")
    let lines = try logLines(bench)
    #expect(lines.map { $0["update"]?.integer } == Array(0...12))
    for line in lines.dropFirst() {
      let model = try #require(line["model_loss"]?.double)
      let groundTruth = try #require(line["gt_loss"]?.double)
      let loss = try #require(line["loss"]?.double)
      #expect(abs(loss - (model + groundTruth) / 2) < 1e-9)
      #expect(line["tokens_per_second"]?.double ?? 0 > 0)
    }
    #expect(lines.filter { $0["validation_loss"] != nil }.map { $0["update"]?.integer } == [0, 3, 6, 9, 12])
  }

  @Test func `refuses a text with too few windows`() throws {
    let bench = try self.bench()
    let short = PathOption(try bench.folder.write("short.txt", "In the beginning"))
    #expect(throws: ModelError.self) { try bench.run(quantize, attach, options { $0.texts = [short] }) }
    #expect(try bench.folder.names() == ["short.txt"])
  }

  @Test func `refuses a teacher that is quantized itself`() throws {
    let bench = try self.bench()
    let start = try bench.run(quantize, attach, to: "start.rilq").checkpoint
    let text = message { try bench.run(options(), on: start) }
    #expect(text.contains("is quantized itself; name the original model with 'teacher'"))
  }

  @Test func `refuses to train what is not there`() throws {
    let bench = try self.bench()
    #expect(message { try bench.run(options()) }.contains("neither quantized weights nor an adapter"))
    let noAdapter = message { try bench.run(quantize, options { $0.train = [.adapter] }) }
    #expect(noAdapter.contains("has no adapter to train"))
    let dense = PassOptions.attach(AttachOptions { $0.kind = .dense })
    let noTables = message { try bench.run(dense, options { $0.train = [.scale] }) }
    #expect(noTables.contains("has no quantized weights"))
  }

  private func logLines(_ bench: Workbench) throws -> [JSONValue] {
    try bench.folder.read("log").split(separator: UInt8(ascii: "\n")).map { line in
      try JSONValue(parsing: Array(line))
    }
  }

  /// The mean loss of the windows held back, computed anew.
  private func validationLoss(
    of checkpoint: Checkpoint, _ bench: Workbench, _ options: PassOptions
  ) throws -> Double {
    let options = try #require(options.options(of: CalibratePass.self))
    let windows = try CalibrationWindows(
      WindowSource(
        texts: [Self.text.resolved], samples: options.samples, validation: options.validation,
        length: options.length, seed: options.seed),
      input: bench.input, original: bench.input, work: WorkFiles(path: bench.folder.path)
    ).validation.map(\.tokens)
    let (teacher, student) = (try Transformer(bench.input), try Transformer(checkpoint))
    let rotary = teacher.rotaryTables(positions: options.length)
    let losses = try windows.map { window in
      let target = try teacher.finalHidden(window, rotary: rotary).values
      return try student.rilqLoss(
        of: TrainingWindow(tokens: window, teacher: target), RilqObjective(), rotary: rotary
      ).total(RilqLossWeights())
    }
    return losses.reduce(0, +) / Double(losses.count)
  }
}
