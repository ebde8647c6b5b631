import Checkpoints
import Kernels
import Models

/// Trains the codes, scales and biases of one quantized layer so that its output matches the original's.
///
/// The layer reads the output of the quantized layers before it, and its target is the original layer's
/// output in the original model. It therefore also corrects some of their error. Only one layer is trained at
/// a time; keys and values that it borrows are those of the quantized model and do not change.
///
/// Several processes do not share this work: an update has few windows, often one. Each of them does all of it.
///
/// Source: Block-AP of EfficientQAT, arXiv:2407.11062, section 3.2; codes are trained as positions on the
/// grid, in units of the step.
struct LayerTraining: Sendable {
  private static let parts: TrainedParts = [.code, .scale, .bias]
  private let epochs: Int
  private let batch: Int
  private let learningRate: Double
  private let rates: LearningRateScale
  private let model: Transformer
  private let rotary: RotaryTables

  /// What the training of a layer gave.
  struct Outcome {
    /// The mean loss over the windows before the training.
    let lossBefore: Double
    /// The same afterwards; equal if the layer was put back.
    let lossAfter: Double
    /// The number of weights that were trained.
    let weights: Int
    /// The number of them whose code is another one now.
    let changedCodes: Int
    /// Whether the loss did not fall, so that codes and tables stay as they were.
    let isPutBack: Bool
  }

  /// Prepares the training of all layers of a model.
  ///
  /// - Parameters:
  ///   - options: Epochs, windows per update and learning rates.
  ///   - model: Any model of the same shape.
  ///   - length: The number of tokens per window.
  init(
    _ options: QuantizeOptions, model: Transformer, length: Int
  ) {
    epochs = options.layerEpochs
    batch = options.layerBatch
    learningRate = options.layerLearningRate
    var rates = LearningRateScale()
    rates.code = options.layerCodeRate / options.layerLearningRate
    self.rates = rates
    self.model = model
    rotary = model.rotaryTables(positions: length)
  }

  /// Trains a layer.
  ///
  /// - Parameters:
  ///   - layer: The layer; its linears change only if the loss falls.
  ///   - modules: The linears to train, all packed; other linears do not change.
  ///   - original: The layer before quantization.
  ///   - inputs: The windows before the layer in the quantized model.
  ///   - expected: The residual stream after the layer in the original model.
  ///   - progress: Called with the number of updates done and their total.
  /// - Returns: The losses and the number of codes that changed.
  func train(
    _ layer: inout Transformer.DecoderLayer, modules: Set<String>, original: Transformer.DecoderLayer,
    inputs: [WindowStream], expected: [Matrix], progress: (Int, Int) -> Void
  ) -> Outcome {
    let start = layer
    let before = loss(of: layer, inputs, expected)
    var linears = trainedLinears(layer, modules, original: original)
    let updates = epochs * ((inputs.count + batch - 1) / batch)
    let schedule = LearningRateSchedule(
      peak: learningRate, shape: .cosine, warmup: min(4, updates - 1), updates: updates)
    var update = 0
    for _ in 0..<epochs {
      for first in stride(from: 0, to: inputs.count, by: batch) {
        update += 1
        let windows = first..<min(first + batch, inputs.count)
        let gradients = gradients(of: layer, windows, inputs, expected)
        TrainedLinear.update(
          &linears, gradients.groups.flatMap(\.self),
          AdamStep(learningRate: schedule.rate(of: update), updateCount: update))
        layer.replaceLinears(by: linears.map(\.linear))
        progress(update, updates)
      }
    }
    let after = loss(of: layer, inputs, expected)
    let isBetter = after < before
    if !isBetter { layer = start }
    let changes = zip(start.linears, layer.linears).map { $0.weight.changedCodes(in: $1.weight) }
    return Outcome(
      lossBefore: before, lossAfter: isBetter ? after : before,
      weights: start.linears.filter { modules.contains($0.name) }.reduce(0) {
        $0 + $1.weight.rowCount * $1.weight.columnCount
      },
      changedCodes: changes.reduce(0, +), isPutBack: !isBetter)
  }

  private func trainedLinears(
    _ layer: Transformer.DecoderLayer, _ modules: Set<String>, original: Transformer.DecoderLayer
  ) -> [TrainedLinear] {
    zip(layer.linears, original.linears).map { linear, original in
      let isTrained = modules.contains(linear.name)
      return TrainedLinear(
        linear: linear,
        state: LinearState(
          linear, training: isTrained ? Self.parts : [], rates: rates,
          weights: isTrained ? original.weight : nil))
    }
  }

  private func gradients(
    of layer: Transformer.DecoderLayer, _ windows: Range<Int>, _ inputs: [WindowStream], _ expected: [Matrix]
  ) -> LayerGradients {
    let parts = parallelMap(windows.count) { index in
      var gradients = LayerGradients(for: layer, training: Self.parts)
      _ = model.addLayerGradients(
        of: layer, input: inputs[windows.lowerBound + index], expected: expected[windows.lowerBound + index],
        gradientScale: 1 / Float(windows.count), to: &gradients, rotary: rotary)
      return [gradients]
    }
    var sum = parts[0]
    sum.add(parts.dropFirst())
    return sum[0]
  }

  private func loss(
    of layer: Transformer.DecoderLayer, _ inputs: [WindowStream], _ expected: [Matrix]
  ) -> Double {
    let losses = parallelMap(inputs.count) { index in
      var unused = LayerGradients(for: layer, training: [])
      return model.addLayerGradients(
        of: layer, input: inputs[index], expected: expected[index], gradientScale: nil, to: &unused,
        rotary: rotary)
    }
    return losses.reduce(0, +) / Double(losses.count)
  }
}

extension Transformer.DecoderLayer {
  /// Replaces the linears, in the order of the computation.
  mutating func replaceLinears(by linears: [Linear]) {
    var rest = linears[...]
    for group in groups.indices {
      let count = groups[group].linears.count
      groups[group].linears = Array(rest.prefix(count))
      rest = rest.dropFirst(count)
    }
  }
}

extension Weight {
  /// Returns the number of codes that differ from those of a weight of the same layout; 0 if it has no codes.
  fileprivate func changedCodes(in other: Weight) -> Int {
    guard let old = packed?.codeValues, let new = other.packed?.codeValues else { return 0 }
    return zip(old, new).reduce(0) { $0 + ($1.0 == $1.1 ? 0 : 1) }
  }
}

extension PackedTensor {
  /// Takes a weight's codes and tables as stored, and measures their error against the original weight.
  init(_ weight: Weight, on grid: QuantizationGrid, of original: Weight) {
    guard let packed = weight.packed else { preconditionFailure("a weight that is not packed") }
    self.init(codes: packed.codes.withSpan { $0.copiedBytes() }, grid.storedTables(of: packed))
    measure(
      against: original.floats(rows: 0..<original.rowCount), bits: grid.bits, groupSize: grid.groupSize,
      columns: weight.columnCount)
  }
}

extension QuantizationGrid {
  /// The tables of a weight as they are stored.
  fileprivate func storedTables(of packed: PackedWeight) -> GroupTables {
    if let blocks = packed.blocks { return stored(blocks) }
    if let zeroPoints = packed.zeroPoints {
      return GroupTables(scales: tables.storedScales(packed.scales), zeroPoints)
    }
    return GroupTables(scales: stored(packed.scales), biases: stored(packed.biases))
  }
}
