import Checkpoints
import Kernels
import Models

/// One calibration from start to end: teacher, updates, validation, best state.
struct CalibrationRun {
  /// The number of updates between two saved states; larger where codes make the states large.
  private let updatesPerSave: Int
  private let options: CalibrateOptions
  private let context: PassContext
  private let windows: CalibrationWindows
  private let teacher: TeacherCache
  private let weights: RilqLossWeights
  private let learningRate: Double
  private let pace: CalibrationPace
  /// The update that a stopped run had reached; nil if this run does not resume one.
  private let resumedAt: Int?
  private var trainer: Trainer
  private var state: CalibrationState
  private let log: CalibrationLog
  private var clock = WindowClock()

  /// The model with its current values.
  var student: Transformer { trainer.student }

  init(_ options: CalibrateOptions, parts: TrainedParts, input: Checkpoint, context: PassContext) throws {
    let group = context.group
    self.options = options
    self.context = context
    updatesPerSave = parts.contains(.code) ? 25 : 5
    var student = try Transformer(input)
    let original = try context.teacher(options.teacher, of: input)
    var model = try Transformer(original)
    (student.operands, model.operands) = (options.products, options.products)
    try student.requireOriginal(model)
    windows = try CalibrationWindows(
      options.windowSource, input: input, original: original, work: context.work,
      later: context.laterWindows, group: group, progress: context.progress)
    try student.requireTokens(windows.tokens, from: Tokenizer.path(in: input))
    try model.requireTokens(windows.tokens, from: Tokenizer.path(in: input))
    let comparison = Self.comparison(options, original: model)
    teacher = try TeacherCache(
      teacher: model, of: original, windows: windows.tokens,
      needed: Self.neededWindows(options, windows, group), work: context.work,
      memoryLimit: context.memoryLimit,
      progress: context.progress)
    weights = options.weights
    learningRate = options.learningRate ?? Self.defaultLearningRate(parts)
    pace = CalibrationPace(
      options, ModelSizes(student.configuration), memoryLimit: context.memoryLimit)
    var trainer = Trainer(
      student: student, training: parts, comparison,
      schedule: LearningRateSchedule(
        peak: learningRate, shape: options.schedule, warmup: options.warmup, updates: options.updates),
      rates: options.learningRateScale, length: options.length, recomputesLayers: pace.recomputesLayers,
      group: group)
    let restored = try context.resumption.flatMap { kept in
      try CalibrationStateFile(path: kept.path).restore(into: &trainer, updates: options.updates)
    }
    log = try CalibrationLog(
      path: context.logPath, keepingUpTo: restored?.update, after: restored?.curve ?? [])
    self.trainer = trainer
    resumedAt = restored?.update
    state = restored ?? CalibrationState(start: nil, best: (0, nil, []))
    if restored == nil { try begin() }
  }

  /// Returns the windows that a process computes, by their indices; nil for all.
  private static func neededWindows(
    _ options: CalibrateOptions, _ windows: CalibrationWindows, _ group: any ProcessGroup
  ) -> [Int]? {
    guard group.count > 1 else { return nil }
    let (count, own) = (windows.training.count, group.share(of: options.batch))
    var needed = Set(group.share(of: windows.validation.count).map { count + $0 })
    for update in 0..<options.updates {
      needed.formUnion(own.map { (update * options.batch + $0) % count })
    }
    return needed.sorted()
  }

  private static func comparison(_ options: CalibrateOptions, original: Transformer) -> Trainer.Comparison {
    let objective = RilqObjective(
      options.weights, teacherHead: original.head,
      divergence: DivergenceShape(tokenCount: options.klTopK, temperature: options.klTemperature))
    return options.scope == .model
      ? .model(objective) : .local(options.scope, original: original, objective)
  }

  /// Adapters tolerate the paper's order of magnitude for small models; tables are trained in units of the
  /// step.
  static func defaultLearningRate(_ parts: TrainedParts) -> Double {
    parts.contains(.adapter) ? 1e-3 : 2e-3
  }

  private mutating func begin() throws {
    let start = try validate()
    if let start, !start.total(weights).isFinite { try requireFiniteStudent() }
    state = CalibrationState(start: start, best: (0, start, trainer.snapshot))
    try log.write(update: 0, training: nil, validation: start, weights, tokensPerSecond: nil)
  }

  /// Trains and leaves the best state in the student.
  ///
  /// - Returns: The report.
  /// - Throws: `PassError.checkFailed` when no validation was better than the start.
  mutating func train() throws -> CalibrationReport {
    while state.update < options.updates, !isOutOfPatience {
      try takeUpdate()
      if state.update % updatesPerSave == 0, context.group.isFirst, let kept = context.resumption {
        state.curve = log.curve
        try CalibrationStateFile(path: kept.path).save(state, trainer, weights)
        kept.didSave()
      }
    }
    if let start = state.start, state.best.update == 0 {
      throw PassError.checkFailed(
        "calibration did not lower the validation loss, \(start.total(weights).formatted(decimals: 4)), in "
          + "\(state.update) updates; nothing is kept: try a smaller learning rate than \(learningRate)")
    }
    if state.start != nil { trainer.restore(state.best.values) }
    return report
  }

  private var isOutOfPatience: Bool {
    state.start != nil && state.update % options.validateEvery == 0
      && state.update - state.best.update >= options.patience * options.validateEvery
  }

  private mutating func takeUpdate() throws {
    let update = state.update + 1
    state.last = try runUpdate(update)
    state.update = update
    var validation: RilqLoss?
    if options.validation > 0, update % options.validateEvery == 0 || update == options.updates {
      validation = try validate()
    }
    try log.write(
      update: update, training: state.last, validation: validation, weights,
      tokensPerSecond: tokensPerSecond)
    if let validation, let before = state.best.loss, validation.total(weights) < before.total(weights) {
      state.best = (update, validation, trainer.snapshot)
    }
  }

  private mutating func runUpdate(_ update: Int) throws -> RilqLoss {
    let first = (update - 1) * options.batch
    let own = context.group.share(of: options.batch)
    let begin = clock.now
    var losses: [RilqLoss] = []
    for range in ranges(of: own) {
      let begin = clock.now
      losses += try trainer.accumulate(
        range.map { window((first + $0) % windows.training.count) }, batch: options.batch)
      if context.group.count == 1 { clock.record(since: begin, windows: range.count) }
    }
    let sum = try mean(of: losses, count: options.batch)
    guard sum.total(weights).isFinite else {
      if update == 1 { try requireFiniteStudent() }
      throw PassError.checkFailed(
        "the loss of update \(update) is not finite; try a smaller learning rate than \(learningRate)")
    }
    try trainer.update()
    // Processes wait for each other, so that only whole updates tell how long a window takes.
    if context.group.count > 1 { clock.record(since: begin, windows: options.batch) }
    context.progress(
      Progress(
        phase: "calibrate", completed: update, total: options.updates,
        detail: "loss \(sum.total(weights).formatted(decimals: 4)), \(Int(tokensPerSecond)) tokens/s"))
    return sum
  }

  /// Throws if the model was not finite when it was read, and names the tensor.
  private func requireFiniteStudent() throws {
    for window in windows.all {
      if let error = try student.findNotFinite(window.tokens) { throw error }
    }
  }

  private var tokensPerSecond: Double { Double(options.length) / max(clock.median, .leastNormalMagnitude) }

  /// Returns the mean loss of the validation windows, or nil if there are none.
  private func validate() throws -> RilqLoss? {
    guard !windows.validation.isEmpty else { return nil }
    let count = windows.validation.count
    var losses: [RilqLoss] = []
    for range in ranges(of: context.group.share(of: count)) {
      losses += try trainer.losses(range.map { window(windows.training.count + $0) })
    }
    return try mean(of: losses, count: count)
  }

  /// Returns the mean of this process's losses and those of the others, added in the order of the windows.
  private func mean(of losses: [RilqLoss], count: Int) throws -> RilqLoss {
    var sum = RilqLoss()
    for loss in try context.group.gathered(losses) { sum.add(loss, share: 1 / Double(count)) }
    return sum
  }

  /// Returns a window by its index; validation windows follow the training windows.
  private func window(_ index: Int) -> TrainingWindow {
    let window = windows.all[index]
    return TrainingWindow(
      tokens: window.tokens, teacher: teacher.hidden(index), isScored: window.isScored)
  }

  /// Returns the parts of a range of windows that are computed at the same time.
  private func ranges(of windows: Range<Int>) -> [Range<Int>] {
    stride(from: windows.lowerBound, to: windows.upperBound, by: pace.windowsAtOnce).map {
      $0..<min($0 + pace.windowsAtOnce, windows.upperBound)
    }
  }

  private var report: CalibrationReport {
    let isValidated = state.start != nil && state.best.loss != nil
    return CalibrationReport(
      parameters: trainer.parameterCount, updates: state.update,
      bestUpdate: state.start == nil ? state.update : state.best.update, learningRate: learningRate,
      validationBefore: isValidated ? state.start : nil, validationAfter: isValidated ? state.best.loss : nil,
      examplesCut: windows.cutCount, resumedAtUpdate: resumedAt,
      products: options.products == .f32 ? nil : options.products.onThisProcessor, lastTraining: state.last,
      secondsPerWindow: clock.median, tokensPerSecond: tokensPerSecond, curve: log.curve, weights: weights)
  }
}

extension CalibrateOptions {
  fileprivate var weights: RilqLossWeights {
    RilqLossWeights(model: modelWeight, groundTruth: groundTruthWeight, divergence: klWeight)
  }
}

/// The number of windows computed at the same time, and whether layers run forward twice: the fastest choice
/// that fits in memory.
struct CalibrationPace: Equatable {
  /// The memory limit of windows in bytes, if the user sets none.
  private static let defaultLimit = 1_000_000_000
  let windowsAtOnce: Int
  let recomputesLayers: Bool

  init(_ options: CalibrateOptions, _ sizes: ModelSizes, memoryLimit: Int?) {
    let limit = memoryLimit ?? Self.defaultLimit
    let kept = CalibratePass.windowMemory(sizes, options).byteCount
    recomputesLayers = memoryLimit != nil && kept > limit
    let each =
      recomputesLayers
      ? CalibratePass.windowMemory(sizes, options, recomputesLayers: true).byteCount : kept
    windowsAtOnce = max(1, min(ThreadLimit.current, options.batch, limit / max(each, 1)))
  }
}

/// The time that training windows took.
private struct WindowClock {
  private var seconds: [Double] = []

  var now: ContinuousClock.Instant { ContinuousClock.now }

  /// Records windows that were computed together; each counts with its share of the time.
  mutating func record(since begin: ContinuousClock.Instant, windows: Int) {
    let share = begin.secondsSince / Double(windows)
    seconds += [Double](repeating: share, count: windows)
  }

  var median: Double { seconds.isEmpty ? 0 : seconds.sorted()[seconds.count / 2] }
}
