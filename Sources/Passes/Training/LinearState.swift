import Checkpoints
import Kernels
import Models

/// The optimizer's state of one linear.
struct LinearState {
  private let rates: LearningRateScale
  private var loraA: AdamMoments?
  private var loraB: AdamMoments?
  private var scales: TableState?
  private var biases: TableState?
  private var codes: CodeState?

  /// - Parameters:
  ///   - linear: The linear as it is at the start.
  ///   - parts: What of it is trained.
  ///   - rates: The learning rate of each part.
  ///   - weights: What was quantized, which codes start near; nil starts them in the middle.
  init(
    _ linear: Linear, training parts: TrainedParts, rates: LearningRateScale = LearningRateScale(),
    weights: Weight? = nil
  ) {
    self.rates = rates
    if parts.contains(.adapter), let adapter = linear.adapter {
      loraA = AdamMoments(count: adapter.loraA.values.count)
      loraB = AdamMoments(count: adapter.loraB.values.count)
    }
    guard let packed = linear.weight.packed else { return }
    if parts.contains(.scale) { scales = TableState(start: packed.scales, unit: packed.scales) }
    if parts.contains(.bias) { biases = TableState(start: packed.biases, unit: packed.scales) }
    if parts.contains(.code) { codes = CodeState(packed, near: weights) }
  }

  var parameterCount: Int {
    (loraA?.first.count ?? 0) + (loraB?.first.count ?? 0) + (scales?.start.count ?? 0)
      + (biases?.start.count ?? 0) + (codes?.count ?? 0)
  }

  mutating func update(_ linear: inout Linear, _ gradients: LinearGradients, _ step: AdamStep) {
    if var adapter = linear.adapter, loraA != nil, loraB != nil {
      linear.adapter = nil
      let step = step.scaled(by: rates.adapter)
      loraA.update { step.apply(gradients.loraA, to: &adapter.loraA.values, &$0) }
      loraB.update { step.apply(gradients.loraB, to: &adapter.loraB.values, &$0) }
      linear.adapter = adapter
    }
    guard var packed = linear.weight.packed else { return }
    let tables = gradients.tables(of: packed, columnCount: linear.weight.columnCount)
    let before = packed
    codes.update { packed.codes = $0.updated(gradients.weights, of: before, step.scaled(by: rates.code)) }
    scales.update { packed.scales = $0.updated(tables.scales, step.scaled(by: rates.scale)) }
    biases.update { packed.biases = $0.updated(tables.biases, step.scaled(by: rates.bias)) }
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
    try codes.update { packed.codes = try $0.visit(bits: packed.bits, body) }
    linear.weight.packed = packed
  }
}

/// A linear with its optimizer's state.
struct TrainedLinear {
  var linear: Linear
  var state: LinearState

  /// Takes a step with every linear, on all cores.
  ///
  /// - Parameters:
  ///   - linears: The linears.
  ///   - gradients: One for each.
  ///   - step: The step.
  static func update(_ linears: inout [TrainedLinear], _ gradients: [LinearGradients], _ step: AdamStep) {
    var span = linears.mutableSpan
    parallelTiles(of: &span, count: gradients.count) { index, linears in
      linears[index].update(gradients[index], step)
    }
  }

  private mutating func update(_ gradients: LinearGradients, _ step: AdamStep) {
    state.update(&linear, gradients, step)
  }
}

extension LinearGradients {
  /// The gradients of scales and biases, from those of the weight where that is what there is.
  fileprivate func tables(
    of packed: PackedWeight, columnCount: Int
  ) -> (scales: [Float], biases: [Float]) {
    guard !weights.isEmpty else { return (scales, biases) }
    var scales = [Float](repeating: 0, count: packed.scales.count)
    var biases = scales
    var scaleSpan = scales.mutableSpan
    var biasSpan = biases.mutableSpan
    packed.codes.withSpan { codes in
      reduceByCodes(
        weightGradient: weights.span, codes: codes, bits: packed.bits, groupSize: packed.groupSize,
        columnCount: columnCount, addTo: &scaleSpan, addTo: &biasSpan)
    }
    return (scales, biases)
  }
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
