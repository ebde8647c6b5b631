import Checkpoints
import Kernels
import Models

/// The two models that adapters compensate between, and the windows that they read.
struct CompensatedModels {
  /// The original model.
  let teacher: Transformer
  /// The quantized model.
  let student: Transformer
  /// The quantized checkpoint.
  private let input: Checkpoint
  /// The windows of the text; empty for an initialization without a text.
  let windows: [[Int32]]

  /// - Parameters:
  ///   - options: The options of the pass.
  ///   - input: The quantized checkpoint.
  ///   - context: Has the original checkpoint, if the options name no teacher.
  /// - Throws: `PassError.usage` when there is no original model to approximate, `FormatError` or
  ///   `ModelError`.
  init(_ options: AttachOptions, input: Checkpoint, _ context: PassContext) throws {
    let original = try context.teacher(options.teacher, of: input)
    teacher = try Transformer(original)
    student = try Transformer(input)
    self.input = input
    try student.requireOriginal(teacher)
    guard let source = options.windowSource else {
      windows = []
      return
    }
    windows = try CalibrationWindows(source, ofTextsFor: input).tokens
    for model in [student, teacher] {
      try model.requireTokens(windows, from: Tokenizer.path(in: input))
    }
  }
}

extension CompensatedModels {
  /// Returns the formats in which a module's tables are stored.
  func tableFormats(of module: String) throws -> TableFormats {
    func format(_ part: ModuleTensor) throws -> FloatFormat {
      let name = part.name(of: module)
      guard let format = input.tensor(named: name).flatMap({ FloatFormat($0.dtype) }) else {
        throw FormatError(input.path, .missing("tensor '\(name)'"))
      }
      return format
    }
    return TableFormats(scales: try format(.scales), biases: try format(.biases))
  }
}

extension AttachOptions {
  /// The requested windows, if the initialization reads a text.
  var windowSource: WindowSource? {
    guard initialization.usesText, let text else { return nil }
    return WindowSource(texts: [text.resolved], samples: samples, length: length, seed: seed)
  }

  /// Creates an adapter of the requested rank; rows that the closed form does not fill begin like those of
  /// `zero`.
  func adapter(from factors: LowRankFactors, of linear: Linear, groupSize: Int = 1) -> LowRankAdapter {
    let scaling = alpha / Double(rank)
    // A pooled adapter reads means, but the factors were computed for sums.
    let factor = (Double(groupSize) / scaling).squareRoot()
    let (rows, columns) = (linear.weight.rowCount, factors.a.columnCount)
    var a = randomA(named: ModuleTensor.loraA.name(of: linear.name), count: rank * columns)
    for i in factors.a.values.indices { a[i] = Float(factor * factors.a.values[i]) }
    var b = [Float](repeating: 0, count: rows * rank)
    for i in 0..<factors.rank {
      for j in 0..<rows { b[j * rank + i] = Float(factor * factors.transposedB.values[i * rows + j]) }
    }
    return LowRankAdapter(
      kind: kind, scaling: Float(scaling), groupSize: groupSize,
      loraA: Matrix(rows: rank, columns: columns, values: a),
      loraB: Matrix(rows: rows, columns: rank, values: b))
  }
}
