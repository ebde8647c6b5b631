import Checkpoints
package import Kernels
package import Models

/// Trains parameters of a model with Adam, window by window and update by update.
///
/// Several processes can share the windows of an update: each computes consecutive ones, and their gradients
/// are added in the order of the windows, so that all processes take the step that one process would take.
///
/// Scales and biases are trained in units of the step, `scale = s0 · (1 + γ)` and `bias = b0 + s0 · β`, so
/// that one learning rate fits every group.
package struct Trainer {
  /// The model with the current values.
  package private(set) var student: Transformer
  /// The number of updates done.
  package private(set) var updateCount = 0
  private let parts: TrainedParts
  private let comparison: Comparison
  private let schedule: LearningRateSchedule
  private let rotary: RotaryTables
  private let recomputesLayers: Bool
  private let group: any ProcessGroup
  private var gradients: [LayerGradients]
  /// The gradients of each window of an update, while they wait for those of the windows before them, which
  /// another process computes.
  private var waiting: [[Float]] = []
  private var states: [LinearState]

  /// The reference of the loss.
  package enum Comparison: Sendable {
    /// The original's last hidden states and distribution.
    case model(RilqObjective)
    /// The original's output at every linear or layer; the objective contributes its other parts, but no
    /// model loss.
    case local(LossScope, original: Transformer, RilqObjective)

    var objective: RilqObjective {
      switch self {
      case .model(let objective), .local(_, _, let objective): objective
      }
    }
  }

  /// Starts from a model.
  ///
  /// - Parameters:
  ///   - student: The model to train.
  ///   - parts: The parameters to train.
  ///   - comparison: The loss.
  ///   - schedule: Adam's learning rates.
  ///   - rates: The factor of the learning rate for each part.
  ///   - length: The number of tokens of the longest window.
  ///   - recomputesLayers: Whether layers run forward twice to save memory.
  ///   - group: The processes that share the windows of an update; only one when codes are trained.
  package init(
    student: Transformer, training parts: TrainedParts, _ comparison: Comparison,
    schedule: LearningRateSchedule, rates: LearningRateScale = LearningRateScale(), length: Int,
    recomputesLayers: Bool = false, group: any ProcessGroup = SingleProcess()
  ) {
    precondition(group.count == 1 || !parts.contains(.code), "the gradients of codes are added in place")
    self.student = student
    self.parts = parts
    self.comparison = comparison
    self.schedule = schedule
    self.recomputesLayers = recomputesLayers
    self.group = group
    rotary = student.rotaryTables(positions: length)
    gradients = student.layers.map { LayerGradients(for: $0, training: parts) }
    states = student.layerLinears.map { LinearState($0, training: parts, rates: rates) }
  }

  /// The number of trained values.
  package var parameterCount: Int { states.reduce(0) { $0 + $1.parameterCount } }

  /// Adds the gradients of some windows of a batch, computed in parallel, one window per thread.
  ///
  /// Every window has its own gradients, which are added in the order of the windows. The result does not
  /// depend on the number of windows computed at the same time.
  ///
  /// - Parameters:
  ///   - windows: The windows; the next of this process's share of the update.
  ///   - batch: The number of windows in the update, including those of other calls and processes.
  /// - Returns: The loss of each window.
  /// - Throws: `ModelError.tokenOutOfRange`.
  package mutating func accumulate(_ windows: [TrainingWindow], batch: Int) throws -> [RilqLoss] {
    guard !parts.contains(.code) else { return try accumulateInPlace(windows, batch: batch) }
    let (step, parts) = (self, parts)
    let results = try parallelMap(windows.count) { index in
      var gradients = step.student.layers.map { LayerGradients(for: $0, training: parts) }
      let loss = try step.addGradients(of: windows[index], scale: 1 / Double(batch), to: &gradients)
      return (loss: loss, gradients: gradients)
    }
    if group.isFirst {
      gradients.add(results.lazy.map(\.gradients))
    } else {
      waiting += results.map { $0.gradients.values }
    }
    return results.map(\.loss)
  }

  /// Adds the gradients of the windows one after another, because they are as large as the model.
  private mutating func accumulateInPlace(_ windows: [TrainingWindow], batch: Int) throws -> [RilqLoss] {
    var gradients = gradients
    self.gradients = []
    defer { self.gradients = gradients }
    return try windows.map { try addGradients(of: $0, scale: 1 / Double(batch), to: &gradients) }
  }

  private func addGradients(
    of window: TrainingWindow, scale: Double, to gradients: inout [LayerGradients]
  ) throws -> RilqLoss {
    switch comparison {
    case .model(let objective):
      return try student.addRilqGradients(
        of: window, objective, gradientScale: scale, recomputesLayers: recomputesLayers, to: &gradients,
        rotary: rotary)
    case .local(let scope, let original, let objective):
      let local = try student.addLocalGradients(
        of: window.tokens, original: original, scope: scope, gradientScale: scale * objective.weights.model,
        to: &gradients, rotary: rotary)
      guard let rest = objective.withoutModelLoss else { return RilqLoss(modelLoss: local) }
      var loss = try student.addRilqGradients(
        of: window, rest, gradientScale: scale, recomputesLayers: recomputesLayers, to: &gradients,
        rotary: rotary)
      loss.modelLoss = local
      return loss
    }
  }

  /// Returns the losses of windows, computed in parallel, one window per thread.
  package func losses(_ windows: [TrainingWindow]) throws -> [RilqLoss] {
    try parallelMap(windows.count) { index in
      var loss = try student.rilqLoss(of: windows[index], comparison.objective, rotary: rotary)
      guard case .local(let scope, let original, _) = comparison else { return loss }
      var unused = student.layers.map { LayerGradients(for: $0, training: []) }
      loss.modelLoss = try student.addLocalGradients(
        of: windows[index].tokens, original: original, scope: scope, gradientScale: nil, to: &unused,
        rotary: rotary)
      return loss
    }
  }

  /// Adds the gradients of all processes, takes one Adam step and clears them.
  ///
  /// - Throws: Errors of the communication between processes.
  package mutating func update() throws {
    try addOtherProcesses()
    updateCount += 1
    let step = AdamStep(learningRate: schedule.rate(of: updateCount), updateCount: updateCount)
    var linears = zip(student.layerLinears, states).map(TrainedLinear.init)
    states = []
    TrainedLinear.update(&linears, gradients.flatMap { $0.groups.joined() }, step)
    states = linears.map(\.state)
    var index = 0
    student.updateLayerLinears { linear in
      linear = linears[index].linear
      index += 1
    }
    gradients = student.layers.map { LayerGradients(for: $0, training: parts) }
  }

  private mutating func addOtherProcesses() throws {
    guard group.count > 1 else { return }
    var sum = gradients.values
    try group.add(waiting, to: &sum)
    waiting = []
    gradients.values = sum
  }

  /// The current values of the trained parameters.
  package var snapshot: [TrainedValues] { student.layerLinears.map { TrainedValues($0, training: parts) } }

  /// Restores trained values.
  package mutating func restore(_ snapshot: [TrainedValues]) {
    var index = 0
    student.updateLayerLinears { linear in
      snapshot[index].restore(&linear)
      index += 1
    }
  }

  /// Writes or reads all values that the next updates depend on.
  ///
  /// Together with `restore(updateCount:)` the updates repeat bit for bit.
  ///
  /// - Parameter archive: A reader needs the archive of a trainer with the same model, parts and options.
  /// - Throws: The archive's errors.
  package mutating func exchange(with archive: inout some StateArchive & ~Copyable) throws {
    var states = states
    var index = 0
    try student.updateLayerLinears { linear in
      try states[index].exchange(&linear, with: &archive)
      index += 1
    }
    self.states = states
  }

  /// Continues the count of another trainer's updates.
  package mutating func restore(updateCount: Int) { self.updateCount = updateCount }
}

/// The trained values of a linear; lists of untrained parameters are empty.
package struct TrainedValues: Sendable, Equatable {
  private var loraA: [Float] = []
  private var loraB: [Float] = []
  private var scales: [Float] = []
  private var biases: [Float] = []
  /// What the tables are made of, instead of the tables.
  private var blocks: BlockTables?
  /// The packed codes.
  package private(set) var codes: [UInt8] = []

  init(_ linear: Linear, training parts: TrainedParts) {
    if parts.contains(.adapter), let adapter = linear.adapter {
      (loraA, loraB) = (adapter.loraA.values, adapter.loraB.values)
    }
    if !parts.isDisjoint(with: [.bias, .scale]), let packed = linear.weight.packed {
      blocks = packed.blocks
      if blocks == nil { (scales, biases) = (packed.scales, packed.biases) }
    }
    if parts.contains(.code), let packed = linear.weight.packed {
      codes = packed.codes.withSpan { $0.copiedBytes() }
    }
  }

  /// Writes or reads the values; a reader replaces each list by one of the same length.
  package mutating func exchange(with archive: inout some StateArchive & ~Copyable) throws {
    try archive.exchange(&loraA)
    try archive.exchange(&loraB)
    try archive.exchange(&scales)
    try archive.exchange(&biases)
    try blocks?.exchange(with: &archive)
    try archive.exchange(&codes)
  }

  fileprivate func restore(_ linear: inout Linear) {
    if !loraA.isEmpty, var adapter = linear.adapter {
      (adapter.loraA.values, adapter.loraB.values) = (loraA, loraB)
      linear.adapter = adapter
    }
    if !scales.isEmpty, var packed = linear.weight.packed {
      packed.replaceTables(scales: scales, biases: biases)
      linear.weight.packed = packed
    }
    if let blocks { linear.weight.packed?.replaceTables(by: blocks) }
    if !codes.isEmpty { linear.weight.packed?.codes = TensorBytes(codes) }
  }
}

extension RilqObjective {
  /// The objective without its model loss; nil when no other part is left.
  fileprivate var withoutModelLoss: RilqObjective? {
    guard weights.groundTruth > 0 || weights.divergence > 0 else { return nil }
    var others = weights
    others.model = 0
    return RilqObjective(others, teacherHead: teacherHead, divergence: divergence)
  }
}
