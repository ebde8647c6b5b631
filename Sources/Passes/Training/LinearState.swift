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
  /// In place of scales and biases where these follow from blocks.
  private var factors: BlockFactorState?
  private var codes: CodeState?

  /// Starts a training.
  ///
  /// - Parameters:
  ///   - linear: The linear at the start.
  ///   - parts: The parts to train.
  ///   - rates: The learning rate of each part.
  ///   - weights: The weights before quantization, which codes start near; nil starts them in the middle.
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
    // The codes of a lattice stay: the code beside one of a point belongs to no point.
    if parts.contains(.code), packed.blocks?.kind.lattice == nil { codes = CodeState(packed, near: weights) }
    if let blocks = packed.blocks {
      factors = BlockFactorState(blocks, training: parts)
      return
    }
    if parts.contains(.scale) { scales = TableState(start: packed.scales, unit: packed.scales) }
    if parts.contains(.bias), packed.zeroPoints == nil {
      biases = TableState(start: packed.biases, unit: packed.scales)
    }
  }

  var parameterCount: Int {
    (loraA?.count ?? 0) + (loraB?.count ?? 0) + (scales?.start.count ?? 0)
      + (biases?.start.count ?? 0) + (factors?.parameterCount ?? 0) + (codes?.count ?? 0)
  }

  /// Returns the second moments of some codes' positions after a step; none when codes are not trained.
  func codeMoments(_ linear: Linear, _ gradients: LinearGradients, _ step: AdamStep) -> [Float] {
    guard let codes, let packed = linear.weight.packed else { return [] }
    return codes.secondMoments(after: gradients.weights, of: packed, step)
  }

  /// Takes a step.
  ///
  /// - Parameters:
  ///   - linear: The linear; what is trained changes.
  ///   - gradients: Its gradients.
  ///   - step: The step.
  ///   - codeLimit: The root of a second moment above which the position of a code moves less.
  mutating func update(
    _ linear: inout Linear, _ gradients: LinearGradients, _ step: AdamStep, codeLimit: Double
  ) {
    if var adapter = linear.adapter, loraA != nil, loraB != nil {
      linear.adapter = nil
      let step = step.scaled(by: rates.adapter)
      loraA?.take(step, gradients.loraA, to: &adapter.loraA.values)
      loraB?.take(step, gradients.loraB, to: &adapter.loraB.values)
      linear.adapter = adapter
    }
    guard let before = linear.weight.packed else { return }
    var packed = before
    let tables = gradients.tables(of: packed, columnCount: linear.weight.columnCount)
    if let updated = codes?.updated(
      gradients.weights, of: before, step.scaled(by: rates.code), limit: codeLimit)
    {
      packed.codes = updated
    }
    if var blocks = packed.blocks {
      factors?.update(
        &blocks, tables, step.scaled(by: rates.scale), step.scaled(by: rates.bias))
      packed.replaceTables(by: blocks)
    } else {
      packed.replaceTables(
        scales: scales?.updated(tables.scales, step.scaled(by: rates.scale)),
        biases: biases?.updated(tables.biases, step.scaled(by: rates.bias)))
    }
    linear.weight.packed = packed
  }

  /// Writes or reads every list of values that later steps depend on; reading also changes the linear.
  mutating func exchange(_ linear: inout Linear, with archive: inout some StateArchive & ~Copyable) throws {
    if var adapter = linear.adapter, loraA != nil, loraB != nil {
      try archive.exchange(&adapter.loraA.values)
      try archive.exchange(&adapter.loraB.values)
      try loraA?.exchange(with: &archive)
      try loraB?.exchange(with: &archive)
      linear.adapter = adapter
    }
    guard var packed = linear.weight.packed else { return }
    let newScales = try scales?.exchange(with: &archive)
    let newBiases = try biases?.exchange(with: &archive)
    if var blocks = packed.blocks {
      try factors?.exchange(&blocks, with: &archive)
      packed.replaceTables(by: blocks)
    } else {
      packed.replaceTables(scales: newScales, biases: newBiases)
    }
    if let bytes = try codes?.exchange(bits: packed.bits, with: &archive) { packed.codes = bytes }
    linear.weight.packed = packed
  }
}

/// A linear with its optimizer's state.
struct TrainedLinear {
  var linear: Linear
  var state: LinearState

  /// Takes a step with every linear in parallel.
  ///
  /// - Parameters:
  ///   - linears: The linears to update.
  ///   - gradients: One per linear.
  ///   - step: The step.
  static func update(_ linears: inout [TrainedLinear], _ gradients: [LinearGradients], _ step: AdamStep) {
    let limit = codeLimit(linears.span, gradients, step)
    var span = linears.mutableSpan
    parallelElements(of: &span) { index, linear in
      linear.state.update(&linear.linear, gradients[index], step, codeLimit: limit)
    }
  }

  /// The same limit for all linears, since a code of one costs as much as that of another with the same gradients.
  private static func codeLimit(
    _ linears: Span<TrainedLinear>, _ gradients: [LinearGradients], _ step: AdamStep
  ) -> Double {
    let moments = linears.indices.flatMap { index in
      linears[index].state.codeMoments(linears[index].linear, gradients[index], step)
    }
    return step.root(notExceededBy: CodeState.freePart, of: moments)
  }
}

extension LinearGradients {
  /// Returns the gradients of scales and biases, derived from the weight's gradient if that is given.
  ///
  /// If a bias is a multiple of its scale, the scale's gradient has both parts.
  fileprivate func tables(
    of packed: PackedWeight, columnCount: Int
  ) -> (scales: [Float], biases: [Float]) {
    var tables = freeTables(of: packed, columnCount: columnCount)
    if let zero = packed.blocks?.kind.zeroPoint {
      for i in tables.scales.indices { tables.scales[i] -= Float(zero) * tables.biases[i] }
    } else if let zeroPoints = packed.zeroPoints?.values {
      for i in tables.scales.indices { tables.scales[i] -= Float(zeroPoints[i]) * tables.biases[i] }
    }
    return tables
  }

  private func freeTables(
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
