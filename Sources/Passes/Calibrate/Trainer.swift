import Kernels
package import Models

/// Changes what is trained in a model, window by window and update by update, by the RILQ loss and Adam.
///
/// Scales and biases are trained in units of the step, `scale = s0 · (1 + γ)` and `bias = b0 + s0 · β`, so that one
/// learning rate fits every group.
package struct Trainer {
  /// The model with the current values.
  package private(set) var student: Transformer
  private let parts: TrainedParts
  private let weights: RilqLossWeights
  private let learningRate: Double
  private let rotary: RotaryEmbedding
  private var gradients: [LayerGradients]
  private var states: [LinearState]
  private var updateCount = 0

  /// Starts from a model.
  ///
  /// - Parameters:
  ///   - student: The model to train.
  ///   - parts: What is trained.
  ///   - weights: The factors of the loss.
  ///   - learningRate: Adam's.
  ///   - length: The tokens of the longest window.
  package init(
    student: Transformer, training parts: TrainedParts, weights: RilqLossWeights, learningRate: Double,
    length: Int
  ) {
    self.student = student
    self.parts = parts
    self.weights = weights
    self.learningRate = learningRate
    rotary = student.rotaryEmbedding(positions: length)
    gradients = student.layers.map { LayerGradients(for: $0, training: parts) }
    states = student.layerLinears.map { LinearState($0, training: parts) }
  }

  /// The numbers that are trained.
  package var parameterCount: Int { states.reduce(0) { $0 + $1.parameterCount } }

  /// A window with what the original model makes of it.
  package struct Window: Sendable {
    /// The tokens.
    package let tokens: [Int32]
    /// The original model's hidden state after the final norm, `[tokens, hidden]`.
    package let teacher: [Float]

    package init(tokens: [Int32], teacher: [Float]) {
      self.tokens = tokens
      self.teacher = teacher
    }
  }

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
  package mutating func accumulate(_ windows: [Window], batch: Int) throws -> [RilqLoss] {
    let (student, parts, weights, rotary) = (student, parts, weights, rotary)
    let results = try parallelMap(windows.count) { index in
      let window = windows[index]
      var gradients = student.layers.map { LayerGradients(for: $0, training: parts) }
      let loss = try student.addRilqGradients(
        window.tokens, teacher: window.teacher.span, weights: weights,
        gradientScale: 1 / Double(batch), to: &gradients, rotary: rotary)
      return (loss: loss, gradients: gradients)
    }
    for result in results {
      for index in gradients.indices { gradients[index].add(result.gradients[index]) }
    }
    return results.map(\.loss)
  }

  /// The losses of windows, computed at the same time, one a thread.
  package func losses(_ windows: [Window]) throws -> [RilqLoss] {
    try parallelMap(windows.count) { index in
      let window = windows[index]
      return try student.rilqLoss(window.tokens, teacher: window.teacher.span, rotary: rotary)
    }
  }

  /// Takes one step of Adam with the accumulated gradients and clears them.
  ///
  /// Source: Adam, arXiv:1412.6980, β₁ 0.9, β₂ 0.999, ε 1e-8, as in PyTorch.
  package mutating func update() {
    updateCount += 1
    let step = AdamStep(learningRate: learningRate, updateCount: updateCount)
    let linearGradients = gradients.flatMap { $0.groups.joined() }
    var index = 0
    student.updateLayerLinears { linear in
      states[index].update(&linear, linearGradients[index], step)
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
}

/// The trained values of a linear; nil for what is not trained.
package struct TrainedValues: Sendable {
  package let name: String
  private let adapter: LowRankAdapter?
  private let packed: PackedWeight?

  init(_ linear: Linear, training parts: TrainedParts) {
    name = linear.name
    adapter = parts.contains(.adapter) ? linear.adapter : nil
    packed = parts.isDisjoint(with: [.bias, .scale]) ? nil : linear.weight.packed
  }

  fileprivate func restore(_ linear: inout Linear) {
    if let adapter { linear.adapter = adapter }
    if let packed { linear.weight.packed = packed }
  }
}

/// One step's factors.
struct AdamStep {
  private static let beta1 = 0.9
  private static let beta2 = 0.999
  private static let epsilon = 1e-8
  private let learningRate: Double
  private let biasCorrection1: Double
  private let biasCorrection2: Double

  init(learningRate: Double, updateCount: Int) {
    self.learningRate = learningRate
    biasCorrection1 = 1 - power(Self.beta1, updateCount)
    biasCorrection2 = 1 - power(Self.beta2, updateCount)
  }

  func apply(_ gradient: [Float], to values: inout [Float], _ moments: inout AdamMoments) {
    apply(gradient, to: &values, &moments.first, &moments.second)
  }

  private func apply(
    _ gradient: [Float], to values: inout [Float], _ firstMoments: inout [Float],
    _ secondMoments: inout [Float]
  ) {
    var parameters = values.mutableSpan
    var first = firstMoments.mutableSpan
    var second = secondMoments.mutableSpan
    adamStep(
      parameters: &parameters, gradients: gradient.span, firstMoments: &first, secondMoments: &second,
      learningRate: learningRate, beta1: Self.beta1, beta2: Self.beta2, epsilon: Self.epsilon,
      biasCorrection1: biasCorrection1, biasCorrection2: biasCorrection2)
  }
}

private func power(_ base: Double, _ exponent: Int) -> Double {
  (0..<exponent).reduce(1.0) { product, _ in product * base }
}

/// Adam's running means for one list of parameters.
struct AdamMoments {
  var first: [Float]
  var second: [Float]

  init(count: Int) {
    first = [Float](repeating: 0, count: count)
    second = first
  }
}

/// The optimizer's state of one linear.
private struct LinearState {
  private var loraA: AdamMoments?
  private var loraB: AdamMoments?
  private var scales: TableState?
  private var biases: TableState?

  init(_ linear: Linear, training parts: TrainedParts) {
    if parts.contains(.adapter), let adapter = linear.adapter {
      loraA = AdamMoments(count: adapter.loraA.values.count)
      loraB = AdamMoments(count: adapter.loraB.values.count)
    }
    guard let packed = linear.weight.packed else { return }
    if parts.contains(.scale) { scales = TableState(start: packed.scales, unit: packed.scales) }
    if parts.contains(.bias) { biases = TableState(start: packed.biases, unit: packed.scales) }
  }

  var parameterCount: Int {
    (loraA?.first.count ?? 0) + (loraB?.first.count ?? 0) + (scales?.start.count ?? 0)
      + (biases?.start.count ?? 0)
  }

  mutating func update(_ linear: inout Linear, _ gradients: LinearGradients, _ step: AdamStep) {
    if var adapter = linear.adapter, loraA != nil, loraB != nil {
      linear.adapter = nil
      loraA.update { step.apply(gradients.loraA, to: &adapter.loraA.values, &$0) }
      loraB.update { step.apply(gradients.loraB, to: &adapter.loraB.values, &$0) }
      linear.adapter = adapter
    }
    guard var packed = linear.weight.packed else { return }
    scales.update { packed.scales = $0.updated(gradients.scales, step) }
    biases.update { packed.biases = $0.updated(gradients.biases, step) }
    linear.weight.packed = packed
  }
}

/// A table of a packed weight, trained in units of the step: `value = start + unit · parameter`.
private struct TableState {
  let start: [Float]
  private let unit: [Float]
  private var parameters: [Float]
  private var moments: AdamMoments

  init(start: [Float], unit: [Float]) {
    self.start = start
    self.unit = unit
    parameters = [Float](repeating: 0, count: start.count)
    moments = AdamMoments(count: start.count)
  }

  /// The table after a step.
  mutating func updated(_ gradient: [Float], _ step: AdamStep) -> [Float] {
    let inUnits = gradient.indices.map { gradient[$0] * unit[$0] }
    step.apply(inUnits, to: &parameters, &moments)
    return start.indices.map { start[$0] + unit[$0] * parameters[$0] }
  }
}

extension Optional {
  fileprivate mutating func update(_ body: (inout Wrapped) -> Void) {
    if var value = self {
      self = nil
      body(&value)
      self = value
    }
  }
}
