import Kernels
import Models

/// One step's factors.
///
/// Source: Adam, arXiv:1412.6980, β₁ 0.9, β₂ 0.999, ε 1e-8, as in PyTorch.
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
struct LinearState {
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

  /// Hands every list of numbers that the next steps depend on to `body`, which may replace its values.
  mutating func visit(_ linear: inout Linear, _ body: (inout [Float]) throws -> Void) rethrows {
    if var adapter = linear.adapter, loraA != nil, loraB != nil {
      linear.adapter = nil
      defer { linear.adapter = adapter }
      try body(&adapter.loraA.values)
      try body(&adapter.loraB.values)
      try loraA.update { try $0.visit(body) }
      try loraB.update { try $0.visit(body) }
    }
    guard var packed = linear.weight.packed else { return }
    try scales.update { packed.scales = try $0.visit(body) }
    try biases.update { packed.biases = try $0.visit(body) }
    linear.weight.packed = packed
  }
}

extension AdamMoments {
  fileprivate mutating func visit(_ body: (inout [Float]) throws -> Void) rethrows {
    try body(&first)
    try body(&second)
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
    return values
  }

  /// The table after a visit.
  mutating func visit(_ body: (inout [Float]) throws -> Void) rethrows -> [Float] {
    try body(&parameters)
    try moments.visit(body)
    return values
  }

  private var values: [Float] { start.indices.map { start[$0] + unit[$0] * parameters[$0] } }
}

extension Optional {
  fileprivate mutating func update(_ body: (inout Wrapped) throws -> Void) rethrows {
    if var value = self {
      self = nil
      defer { self = value }
      try body(&value)
    }
  }
}
