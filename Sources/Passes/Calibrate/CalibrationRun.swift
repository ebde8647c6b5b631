import Checkpoints
import Foundation
import Kernels
import Models

/// One calibration from start to end: teacher, updates, validation, the best state.
struct CalibrationRun {
  private let options: CalibrateOptions
  private let context: PassContext
  private let windows: CalibrationWindows
  private let teacher: TeacherCache
  private let weights: RilqLossWeights
  private let learningRate: Double
  private let windowsAtOnce: Int
  private var trainer: Trainer
  private var log: CalibrationLog
  private var clock = WindowClock()

  /// The model as it is now.
  var student: Transformer { trainer.student }

  init(_ options: CalibrateOptions, parts: TrainedParts, input: Checkpoint, context: PassContext) throws {
    self.options = options
    self.context = context
    let student = try Transformer(input)
    let original =
      try options.teacher.map { try Checkpoint.open(path: $0.resolved, access: context.access) }
      ?? context.original
    guard original.contents.quantization.isEmpty else {
      throw PassError.usage(
        "\(original.path): is quantized itself; name the original model with 'teacher'")
    }
    let model = try Transformer(original)
    windows = try CalibrationWindows(
      options.windowSource, input: input, original: original, workPath: context.workPath,
      progress: context.progress)
    try student.requireTokens(windows.tokens, from: Tokenizer.path(in: input))
    try model.requireTokens(windows.tokens, from: Tokenizer.path(in: input))
    log = try CalibrationLog(path: context.logPath)
    teacher = try TeacherCache(
      teacher: model, windows: windows.tokens, path: context.workPath("teacher.f32"),
      progress: context.progress)
    weights = RilqLossWeights(model: options.modelWeight, groundTruth: options.groundTruthWeight)
    learningRate = options.learningRate ?? Self.defaultLearningRate(parts)
    windowsAtOnce = Self.windowsAtOnce(options, student.configuration)
    trainer = Trainer(
      student: student, training: parts, weights: weights, learningRate: learningRate, length: options.length)
  }

  /// One window a thread, as far as their intermediate results fit a gigabyte.
  private static func windowsAtOnce(_ options: CalibrateOptions, _ c: LlamaConfiguration) -> Int {
    let fitting = 1_000_000_000 / max(CalibratePass.windowMemory(c, length: options.length), 1)
    return max(1, min(ThreadLimit.current, options.batch, fitting))
  }

  /// Adapters tolerate the paper's order of size for small models; tables are trained in units of the step.
  static func defaultLearningRate(_ parts: TrainedParts) -> Double {
    parts.contains(.adapter) ? 1e-3 : 2e-3
  }

  /// Trains, and leaves the best state in the student.
  ///
  /// - Returns: The report.
  /// - Throws: `PassError.checkFailed` when no validation was better than the start.
  mutating func train() throws -> JSONValue {
    let start = try validate()
    log.write(update: 0, training: nil, validation: start, weights, tokensPerSecond: nil)
    var best = (update: 0, loss: start, values: trainer.snapshot)
    var update = 0
    var last = RilqLoss(modelLoss: 0, groundTruthLoss: 0)
    while update < options.updates {
      update += 1
      last = try runUpdate(update)
      var validation: RilqLoss?
      if options.validation > 0, update % options.validateEvery == 0 || update == options.updates {
        validation = try validate()
      }
      log.write(
        update: update, training: last, validation: validation, weights, tokensPerSecond: tokensPerSecond)
      if let validation, let before = best.loss {
        if validation.total(weights) < before.total(weights) {
          best = (update, validation, trainer.snapshot)
        } else if update - best.update >= options.patience * options.validateEvery {
          break
        }
      }
    }
    if let start, best.update == 0 {
      throw PassError.checkFailed(
        "calibration did not lower the validation loss, \(start.total(weights).formatted(decimals: 4)), in "
          + "\(update) updates; nothing is kept: try a smaller learning rate than \(learningRate)")
    }
    if start != nil { trainer.restore(best.values) }
    return report(updates: update, bestUpdate: start == nil ? update : best.update, start, best.loss, last)
  }

  private mutating func runUpdate(_ update: Int) throws -> RilqLoss {
    var sum = RilqLoss(modelLoss: 0, groundTruthLoss: 0)
    let first = (update - 1) * options.batch
    for range in ranges(of: options.batch) {
      let begin = clock.now
      let losses = try trainer.accumulate(
        range.map { window((first + $0) % windows.training.count) }, batch: options.batch)
      clock.record(since: begin, windows: range.count)
      for loss in losses { sum.add(loss, of: options.batch) }
    }
    guard sum.total(weights).isFinite else {
      throw PassError.checkFailed(
        "the loss of update \(update) is not finite; try a smaller learning rate than \(learningRate)")
    }
    trainer.update()
    context.progress(
      Progress(
        phase: "calibrate", completed: update, total: options.updates,
        detail: "loss \(sum.total(weights).formatted(decimals: 4)), \(Int(tokensPerSecond)) tokens/s"))
    return sum
  }

  private var tokensPerSecond: Double { Double(options.length) / max(clock.median, .leastNormalMagnitude) }

  /// The mean loss of the windows held back, or nil without such.
  private func validate() throws -> RilqLoss? {
    guard !windows.validation.isEmpty else { return nil }
    var sum = RilqLoss(modelLoss: 0, groundTruthLoss: 0)
    let count = windows.validation.count
    for range in ranges(of: count) {
      let losses = try trainer.losses(range.map { window(windows.training.count + $0) })
      for loss in losses { sum.add(loss, of: count) }
    }
    return sum
  }

  /// A window by its number, those for validation behind those for training.
  private func window(_ index: Int) -> Trainer.Window {
    Trainer.Window(tokens: windows.all[index].tokens, teacher: teacher.hidden(index))
  }

  /// Numbers of windows that are computed at once.
  private func ranges(of count: Int) -> [Range<Int>] {
    stride(from: 0, to: count, by: windowsAtOnce).map { $0..<min($0 + windowsAtOnce, count) }
  }

  private func report(
    updates: Int, bestUpdate: Int, _ start: RilqLoss?, _ best: RilqLoss?, _ last: RilqLoss
  ) -> JSONValue {
    var members = [
      JSONValue.Member("parameters", .integer(trainer.parameterCount)),
      JSONValue.Member("updates", .integer(updates)),
      JSONValue.Member("best_update", .integer(bestUpdate)),
      JSONValue.Member("learning_rate", .double(learningRate)),
    ]
    if let start, let best {
      members.append(JSONValue.Member("validation_before", start.json(weights)))
      members.append(JSONValue.Member("validation_after", best.json(weights)))
    }
    members.append(JSONValue.Member("training_last", last.json(weights)))
    members.append(JSONValue.Member("seconds_per_window_median", .double(clock.median)))
    members.append(JSONValue.Member("tokens_per_second", .double(tokensPerSecond)))
    return .object(members)
  }
}

/// The seconds that training windows took.
private struct WindowClock {
  private var seconds: [Double] = []

  var now: ContinuousClock.Instant { ContinuousClock.now }

  /// Notes windows that were computed together; each counts as its share of the time.
  mutating func record(since begin: ContinuousClock.Instant, windows: Int) {
    let share = begin.secondsSince / Double(windows)
    seconds += [Double](repeating: share, count: windows)
  }

  var median: Double { seconds.isEmpty ? 0 : seconds.sorted()[seconds.count / 2] }
}

/// A file that gets one JSON object a line for each update.
private struct CalibrationLog {
  private let handle: FileHandle?

  init(path: String?) throws {
    guard let path else {
      handle = nil
      return
    }
    guard FileManager.default.createFile(atPath: path, contents: nil),
      let handle = FileHandle(forWritingAtPath: path)
    else { throw FormatError(path, .system("cannot be created")) }
    self.handle = handle
  }

  func write(
    update: Int, training: RilqLoss?, validation: RilqLoss?, _ weights: RilqLossWeights,
    tokensPerSecond: Double?
  ) {
    guard let handle else { return }
    var line = JSONValue.object([JSONValue.Member("update", .integer(update))])
    if let training {
      line.set("model_loss", to: .double(training.modelLoss))
      line.set("gt_loss", to: .double(training.groundTruthLoss))
      line.set("loss", to: .double(training.total(weights)))
    }
    if let validation {
      line.set("validation_model_loss", to: .double(validation.modelLoss))
      line.set("validation_gt_loss", to: .double(validation.groundTruthLoss))
      line.set("validation_loss", to: .double(validation.total(weights)))
    }
    if let tokensPerSecond { line.set("tokens_per_second", to: .double(tokensPerSecond)) }
    handle.write(Data((line.compactText + "\n").utf8))
  }
}

extension RilqLoss {
  /// Adds a window's share of a mean.
  fileprivate mutating func add(_ loss: RilqLoss, of count: Int) {
    modelLoss += loss.modelLoss / Double(count)
    groundTruthLoss += loss.groundTruthLoss / Double(count)
  }

  fileprivate func json(_ weights: RilqLossWeights) -> JSONValue {
    .object([
      JSONValue.Member("model_loss", .double(modelLoss)),
      JSONValue.Member("gt_loss", .double(groundTruthLoss)),
      JSONValue.Member("loss", .double(total(weights))),
    ])
  }
}
