import Checkpoints
import Kernels
package import Models

/// Changes what is trained in a model, window by window and update by update, by the loss and Adam.
///
/// Scales and biases are trained in units of the step, `scale = s0 · (1 + γ)` and `bias = b0 + s0 · β`, so that one
/// learning rate fits every group.
package struct Trainer {
  /// The model with the current values.
  package private(set) var student: Transformer
  /// The updates that were made.
  package private(set) var updateCount = 0
  private let parts: TrainedParts
  private let comparison: Comparison
  private let schedule: LearningRateSchedule
  private let rotary: RotaryEmbedding
  private let recomputesLayers: Bool
  private let reducer: any GradientReducer
  private var gradients: [LayerGradients]
  private var states: [LinearState]

  /// What the model is compared with.
  package enum Comparison: Sendable {
    /// The original's last hidden states and distribution.
    case model(RilqObjective)
    /// The original's output at every linear or layer; what the objective adds to it has no model loss of its own.
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
  ///   - parts: What is trained.
  ///   - comparison: The loss.
  ///   - schedule: Adam's learning rates.
  ///   - rates: The share of it for each part that is trained.
  ///   - length: The tokens of the longest window.
  ///   - recomputesLayers: Whether layers run forward twice to save memory.
  ///   - reducer: Completes gradients and losses with those of other processes.
  package init(
    student: Transformer, training parts: TrainedParts, _ comparison: Comparison,
    schedule: LearningRateSchedule, rates: LearningRateScale = LearningRateScale(), length: Int,
    recomputesLayers: Bool = false, reducer: any GradientReducer = LocalGradients()
  ) {
    self.student = student
    self.parts = parts
    self.comparison = comparison
    self.schedule = schedule
    self.recomputesLayers = recomputesLayers
    self.reducer = reducer
    rotary = student.rotaryEmbedding(positions: length)
    gradients = student.layers.map { LayerGradients(for: $0, training: parts) }
    states = student.layerLinears.map { LinearState($0, training: parts, rates: rates) }
  }

  /// The numbers that are trained.
  package var parameterCount: Int { states.reduce(0) { $0 + $1.parameterCount } }

  /// Adds the gradients of some windows of a batch, computed at the same time, one a thread.
  ///
  /// Every window has gradients of its own, which are added in the order of the windows: how many are computed at
  /// once does not change the result.
  ///
  /// - Parameters:
  ///   - windows: The windows.
  ///   - batch: The windows of the update, those of other calls included.
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
    gradients.add(results.lazy.map(\.gradients))
    return results.map(\.loss)
  }

  /// Adds the gradients of one window after another, which are as large as the model.
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

  /// The losses of windows, computed at the same time, one a thread.
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

  /// The loss of an update, completed with that of other processes.
  package func reduced(_ loss: RilqLoss) throws -> RilqLoss {
    var loss = loss
    try reducer.reduce(&loss)
    return loss
  }

  /// Completes the accumulated gradients, takes one step of Adam with them and clears them.
  package mutating func update() throws {
    try reducer.reduce(&gradients)
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

  /// What is trained, as it is now.
  package var snapshot: [TrainedValues] { student.layerLinears.map { TrainedValues($0, training: parts) } }

  /// Puts back what was trained.
  package mutating func restore(_ snapshot: [TrainedValues]) {
    var index = 0
    student.updateLayerLinears { linear in
      snapshot[index].restore(&linear)
      index += 1
    }
  }

  /// Writes or reads everything that the next updates depend on; with `restore(updateCount:)` they repeat bit
  /// for bit.
  ///
  /// - Parameter archive: A reader's comes from a trainer of the same model, parts and options.
  /// - Throws: What the archive throws.
  package mutating func exchange(with archive: inout some StateArchive & ~Copyable) throws {
    var states = states
    var index = 0
    try student.updateLayerLinears { linear in
      try states[index].exchange(&linear, with: &archive)
      index += 1
    }
    self.states = states
  }

  /// Goes on after another trainer's updates.
  package mutating func restore(updateCount: Int) { self.updateCount = updateCount }
}

/// The trained values of a linear; empty for what is not trained.
package struct TrainedValues: Sendable, Equatable {
  private var loraA: [Float] = []
  private var loraB: [Float] = []
  private var scales: [Float] = []
  private var biases: [Float] = []
  /// Packed.
  package private(set) var codes: [UInt8] = []

  init(_ linear: Linear, training parts: TrainedParts) {
    if parts.contains(.adapter), let adapter = linear.adapter {
      (loraA, loraB) = (adapter.loraA.values, adapter.loraB.values)
    }
    if !parts.isDisjoint(with: [.bias, .scale]), let packed = linear.weight.packed {
      (scales, biases) = (packed.scales, packed.biases)
    }
    if parts.contains(.code), let packed = linear.weight.packed {
      codes = packed.codes.withSpan { $0.copiedBytes() }
    }
  }

  /// Writes or reads the values; a reader replaces each list by one of its length.
  package mutating func exchange(with archive: inout some StateArchive & ~Copyable) throws {
    try archive.exchange(&loraA)
    try archive.exchange(&loraB)
    try archive.exchange(&scales)
    try archive.exchange(&biases)
    try archive.exchange(&codes)
  }

  fileprivate func restore(_ linear: inout Linear) {
    if !loraA.isEmpty, var adapter = linear.adapter {
      (adapter.loraA.values, adapter.loraB.values) = (loraA, loraB)
      linear.adapter = adapter
    }
    if !scales.isEmpty, var packed = linear.weight.packed {
      (packed.scales, packed.biases) = (scales, biases)
      linear.weight.packed = packed
    }
    if !codes.isEmpty { linear.weight.packed?.codes = TensorBytes(codes) }
  }
}

extension RilqObjective {
  /// The objective without its model loss; nil when nothing else is left.
  fileprivate var withoutModelLoss: RilqObjective? {
    guard weights.groundTruth > 0 || weights.divergence > 0 else { return nil }
    var others = weights
    others.model = 0
    return RilqObjective(others, teacherHead: teacherHead, divergence: divergence)
  }
}
