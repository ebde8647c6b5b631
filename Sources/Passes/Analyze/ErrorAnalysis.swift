package import Checkpoints
import Kernels
package import Models

/// The result of `rilq analyze`: the errors of a quantized model's linears, and their accumulation over
/// layers.
///
/// Source: the rank sensitivity and activation discrepancy of RILQ, arXiv:2412.01129, figures 2 and 3.
package struct ErrorAnalysis: Sendable {
  /// The text that both models read.
  package struct Text: Sendable {
    /// The path of the UTF-8 text.
    package var path: String
    /// The number of windows, at least 1.
    package var samples: Int
    /// The number of tokens per window, at least 2.
    package var length: Int
    /// The seed of the choice of windows.
    package var seed: UInt64

    /// Chooses a text and its windows.
    package init(path: String, samples: Int = 16, length: Int = 256, seed: UInt64 = 1) {
      self.path = path
      self.samples = samples
      self.length = length
      self.seed = seed
    }
  }

  /// The path of the analyzed model.
  package let checkpointPath: String
  /// The path of the original model.
  package let referencePath: String
  /// The text that both models read, if any.
  package let input: Text?
  /// The linears of the layers, in the order of the computation.
  package private(set) var linears: [LinearErrors] = []
  /// The distance of the residual streams after each layer, relative to the reference's; empty without a
  /// text.
  package private(set) var layers: [Double] = []
  /// The same distance after the final norm.
  package private(set) var final: Double?

  /// Compares a model with its original.
  ///
  /// Without a text, the linears are read one after the other. With a text, its windows run through both
  /// models layer by layer; the inputs of a linear are those in the quantized model.
  ///
  /// - Parameters:
  ///   - checkpoint: The quantized model, with or without adapters.
  ///   - reference: The original model.
  ///   - text: The text that both models read; nil compares weights only.
  ///   - progress: Called after each linear.
  /// - Throws: `ModelError.incomparable` when the shapes differ, `.notFinite`, `PassError.notFinite`, or
  ///   `FormatError`.
  package init(
    _ checkpoint: Checkpoint, reference: Checkpoint, text: Text? = nil,
    progress: @escaping ProgressHandler = { _ in }
  ) throws {
    checkpointPath = checkpoint.path
    referencePath = reference.path
    input = text
    let (student, teacher) = (try Transformer(checkpoint), try Transformer(reference))
    try student.requireOriginal(teacher)
    guard let text else {
      let originals = teacher.layerLinears
      for (linear, original) in zip(student.layerLinears, originals) {
        linears.append(try LinearErrors(of: linear, original: original))
        tell(progress, of: originals.count)
      }
      return
    }
    let windows = try CalibrationWindows(
      WindowSource(texts: [text.path], samples: text.samples, length: text.length, seed: text.seed),
      ofTextsFor: reference
    ).tokens
    for model in [student, teacher] {
      try model.requireTokens(windows, from: Tokenizer.path(in: reference))
    }
    try walk(try LayerWalk(student, windows), try LayerWalk(teacher, windows), progress)
  }

  private mutating func walk(
    _ student: LayerWalk, _ teacher: LayerWalk, _ progress: ProgressHandler
  ) throws {
    var (student, teacher) = (student, teacher)
    let count = teacher.model.layerLinears.count
    for index in teacher.model.layers.indices {
      for group in teacher.model.layers[index].groupKinds {
        student.advance(layer: index, to: .before(group))
        teacher.advance(layer: index, to: .before(group))
        let group = (
          student.model.layers[index][group].linears,
          teacher.model.layers[index][group].linears
        )
        let moments = try student.moments(named: group.0[0].name)
        for (linear, original) in zip(group.0, group.1) {
          linears.append(try LinearErrors(of: linear, original: original, moments: moments))
          tell(progress, of: count)
        }
      }
      student.finish(layer: index)
      teacher.finish(layer: index)
      layers.append(Self.distance(student.windows.map(\.hidden), from: teacher.windows.map(\.hidden)))
    }
    final = Self.distance(student.normalizedHidden, from: teacher.normalizedHidden)
  }

  private func tell(_ progress: ProgressHandler, of total: Int) {
    progress(
      Progress(phase: "analyze", completed: linears.count, total: total, detail: linears.last?.name ?? ""))
  }

  /// Returns the root of the squared difference, relative to the second operand.
  private static func distance(_ states: [Matrix], from others: [Matrix]) -> Double {
    var (error, norm) = (0.0, 0.0)
    for (state, other) in zip(states, others) {
      let right = DoubleMatrix(other)
      error += DoubleMatrix(state).subtracting(right).squaredNorm
      norm += right.squaredNorm
    }
    return (error / max(norm, .leastNormalMagnitude)).squareRoot()
  }
}

extension LayerWalk {
  /// The residual stream of every window, after the final norm.
  fileprivate var normalizedHidden: [Matrix] {
    windows.map { model.finalNorm($0.hidden) }
  }
}
