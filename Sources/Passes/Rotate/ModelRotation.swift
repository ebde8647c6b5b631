import Checkpoints
import Kernels
import Models

/// The changes of a model's tensors when its residual stream and heads are rotated.
///
/// `Q` rotates a row of the residual stream and `R` a head's values. Weights that read the stream become `W ·
/// diag(g) · Q`, with `g` the weights of the norm before them, which then become 1. Weights that write the
/// stream become `Qᵀ · W`, and so do their biases. Values of attention are rotated by the weights that produce
/// them, of which they may be some rows among others, and rotated back by those that read them. The running
/// model needs no additional work.
///
/// Source: QuaRot, arXiv:2404.00456, section 4, stages 1a and 1b; R1 and R2 of SpinQuant, arXiv:2405.16406.
struct ModelRotation {
  /// A transform of some of the rows, or columns, of a matrix.
  struct Turn {
    /// The rows or columns; a multiple of the transform's size, of which each is turned on its own.
    let range: Range<Int>
    let transform: OrthogonalTransform
  }

  /// A norm whose weights become part of the linears after it.
  struct FoldedNorm {
    /// The name of its weights.
    let name: String
    /// Added to each weight of the checkpoint.
    let offset: Float
  }

  /// The change of one weight or bias.
  struct Rule {
    /// The tensor that it is computed from.
    let source: String
    /// `[out, in]`, or `[out]` of a bias.
    let shape: [Int]
    /// The norm whose weights multiply the columns.
    var norm: FoldedNorm?
    /// The transforms of each row; of a bias, which is one row.
    var rows: [Turn]
    /// The transforms of each column.
    var columns: [Turn] = []
  }

  /// The rules by name of the tensor.
  let rules: [String: Rule]
  /// The value that the weights of a norm get: 1, or 0 where the checkpoint stores the difference from 1.
  let norms: [String: Float]
  /// The output head to add, if the model has no tensor for it.
  let newHead: String?
  /// Whether the configuration must untie the embeddings, which become two matrices.
  let untiesEmbeddings: Bool
  /// The norm after the last layer; a new head follows it in the file.
  let lastNorm: String

  /// Determines the change of each tensor and checks that all needed tensors are present with the right
  /// shapes.
  ///
  /// - Parameters:
  ///   - options: The parts to rotate.
  ///   - layout: The names and shapes of the model's tensors.
  ///   - input: The checkpoint.
  /// - Throws: `FormatError` with the first module that cannot be rotated exactly, or the first tensor that is
  ///   missing, has another shape, or is not a float.
  init(_ options: RotateOptions, _ layout: ModelLayout, in input: Checkpoint) throws {
    try layout.requireTensors(in: input)
    for part in options.parts { try layout.requireRotatable(part, path: input.path) }
    let turns = Turns(options, layout.configuration)
    let reader = ModelReader(checkpoint: input)
    var rules: [String: Rule] = [:]
    var norms: [String: Float] = [:]
    var offsets: [String: Float] = [:]
    func add(_ tensor: ModelTensor, madeFrom source: ModelTensor? = nil) throws {
      if case .norm(let norm) = tensor.role { offsets[tensor.module] = norm.offset }
      guard tensor.shape.count == 2 else { return }
      var rule = turns.rule(for: tensor, source: source ?? tensor)
      guard !rule.rows.isEmpty || !rule.columns.isEmpty else { return }
      if let module = tensor.norm, turns.turnsStream {
        let norm = FoldedNorm(name: ModuleTensor.weight.name(of: module), offset: offsets[module] ?? 0)
        _ = try reader.format(of: norm.name, shape: [rule.shape[1]])
        norms[norm.name] = 1 - norm.offset
        rule.norm = norm
      }
      _ = try reader.format(of: rule.source, shape: rule.shape)
      rules[tensor.name] = rule
      let name = tensor.biasName
      if tensor.canHaveBias, !rule.columns.isEmpty, input.tensor(named: name) != nil {
        let bias = Rule(source: name, shape: [rule.shape[0]], rows: rule.columns)
        _ = try reader.format(of: name, shape: bias.shape)
        rules[name] = bias
      }
    }
    for tensor in layout.bodyTensors { try add(tensor) }
    let hasOwnHead = try layout.outputHead(in: input) == .own
    try add(layout.head, madeFrom: hasOwnHead ? nil : layout.embedding)
    self.rules = rules
    self.norms = norms
    newHead = turns.turnsStream && !hasOwnHead ? layout.head.name : nil
    untiesEmbeddings = turns.turnsStream && layout.configuration.tiesEmbeddings
    lastNorm = layout.finalNorm.name
  }

  /// The transforms of a model's dimensions.
  private struct Turns {
    private let stream: OrthogonalTransform?
    /// By the width of a head; empty if heads are not rotated.
    private let heads: [Int: OrthogonalTransform]
    var turnsStream: Bool { stream != nil }

    init(_ options: RotateOptions, _ c: ModelConfiguration) {
      func transform(count: Int, stream: Int) -> OrthogonalTransform {
        OrthogonalTransform(count: count, seed: options.seed, stream: stream)
      }
      stream = options.parts.contains(.residual) ? transform(count: c.hiddenSize, stream: 0) : nil
      var heads: [Int: OrthogonalTransform] = [:]
      if options.parts.contains(.heads) {
        for size in c.rotatedHeadSizes { heads[size] = transform(count: size, stream: 1) }
      }
      self.heads = heads
    }

    /// The transforms of a dimension.
    private func turns(of axis: ModelAxis, from start: Int = 0) -> [Turn] {
      let transform: OrthogonalTransform? =
        switch axis.kind {
        case .stream: stream
        case .values, .attended: axis.headSize.flatMap { heads[$0] }
        case .vocabulary, .queries, .keys, .feedForward, .head, .joined, .other: nil
        }
      if let transform { return [Turn(range: start..<start + axis.size, transform: transform)] }
      var turns: [Turn] = []
      var start = start
      for part in axis.parts {
        turns += self.turns(of: part, from: start)
        start += part.size
      }
      return turns
    }

    /// Returns the rule of a matrix, without its norm; it changes nothing if it has no transforms.
    ///
    /// The values of a row are along the last dimension.
    func rule(for tensor: ModelTensor, source: ModelTensor) -> Rule {
      let axes = tensor.slot.axes
      return Rule(
        source: source.name, shape: tensor.shape, rows: turns(of: axes[1]), columns: turns(of: axes[0]))
    }
  }

  /// Rotates a weight or a bias.
  ///
  /// - Parameters:
  ///   - rule: The rule of the tensor.
  ///   - values: `[out, in]`, or `[out]`; replaced.
  ///   - norm: The factors of the columns, if a norm is folded in.
  static func apply(_ rule: Rule, to values: inout [Float], norm: [Float]?) {
    let columnCount = rule.shape[rule.shape.count - 1]
    let rowCount = values.count / columnCount
    rotate(&values, columnCount: columnCount, by: rule.rows, scales: norm)
    guard !rule.columns.isEmpty else { return }
    values = transposed(values, rowCount: rowCount, columnCount: columnCount)
    rotate(&values, columnCount: rowCount, by: rule.columns, scales: nil)
    values = transposed(values, rowCount: columnCount, columnCount: rowCount)
  }

  private static func rotate(
    _ values: inout [Float], columnCount: Int, by turns: [Turn], scales: [Float]?
  ) {
    guard !turns.isEmpty else { return }
    var span = values.mutableSpan
    parallelRows(of: &span, columnCount: columnCount, rowsPerChunk: 64) { rows, part in
      for start in rows.indices.map({ ($0 - rows.lowerBound) * columnCount }) {
        if let scales {
          for column in 0..<columnCount { part[start + column] *= scales[column] }
        }
        for turn in turns {
          for column in stride(from: turn.range.lowerBound, to: turn.range.upperBound, by: turn.transform.size)
          {
            var vector = part.slice(start + column..<start + column + turn.transform.size)
            turn.transform.apply(to: &vector)
          }
        }
      }
    }
  }
}

extension ModelConfiguration {
  /// The widths of the heads, each once.
  var rotatedHeadSizes: Set<Int> {
    var sizes: Set<Int> = []
    for operation in description.layers.flatMap(\.parts).flatMap(\.operations) {
      if case .attention(let attention) = operation { sizes.insert(attention.headSize) }
    }
    return sizes
  }
}

extension ModelLayout {
  /// Checks that a rotation of a part leaves the model's function.
  ///
  /// The stream may only be divided by its root mean square, as that does not change when it is rotated, and
  /// only linears may read and write it. Values of heads may only pass from one linear to the next through
  /// attention.
  ///
  /// - Parameters:
  ///   - part: The part to rotate.
  ///   - path: The path for errors.
  /// - Throws: `FormatError` with the module in the way.
  fileprivate func requireRotatable(_ part: RotateOptions.Part, path: String) throws(FormatError) {
    let description = configuration.description
    if part == .residual { try requireRotatable(description.finalNorm, finalNorm.module, path) }
    for (index, layer) in description.layers.enumerated() {
      let module = prefix + configuration.family.layers.module + ".\(index)."
      for operations in layer.parts.map(\.operations) {
        switch part {
        case .residual: try requireRotatableStream(operations, module, path)
        case .heads: try requireRotatableHeads(operations, module, path)
        }
      }
    }
  }

  private func requireRotatableStream(
    _ operations: [LayerOperation], _ layer: String, _ path: String
  ) throws(FormatError) {
    for (index, operation) in operations.enumerated() {
      guard case .norm(let norm) = operation else { continue }
      let module = layer + norm.slot.module
      try requireRotatable(norm, module, path)
      guard index > 0 || !operations[1...].startsWithLinears else { continue }
      throw FormatError(
        path, at: "module '\(module)'",
        .unsupported("a norm that no linear reads directly keeps 'residual' from being rotated"))
    }
    let reader = operations.drop { if case .norm = $0 { true } else { false } }
    let writer = operations.reversed().drop { if case .scale = $0 { true } else { false } }
    guard reader.startsWithLinears, writer.startsWithLinears else {
      throw FormatError(
        path, at: "layer '\(layer.dropLast())'",
        .unsupported("what reads or writes the stream is not a linear, so 'residual' cannot be rotated"))
    }
  }

  private func requireRotatable(
    _ norm: NormDescription, _ module: String, _ path: String
  ) throws(FormatError) {
    guard norm.kind == .rootMeanSquare else {
      throw FormatError(
        path, at: "module '\(module)'",
        .unsupported("a norm that subtracts the mean keeps 'residual' from being rotated"))
    }
  }

  private func requireRotatableHeads(
    _ operations: [LayerOperation], _ layer: String, _ path: String
  ) throws(FormatError) {
    for (index, operation) in operations.enumerated() {
      switch operation {
      case .headNorms(let norms) where operations.normalizeValues(norms):
        throw FormatError(
          path, at: "layer '\(layer.dropLast())'",
          .unsupported("a norm of values keeps 'heads' from being rotated"))
      case .separateHeads:
        throw FormatError(
          path, at: "layer '\(layer.dropLast())'",
          .unsupported("queries, keys and values of a head stand together, so 'heads' cannot be rotated"))
      case .attention:
        guard !operations[(index + 1)...].startsWithLinears else { continue }
        throw FormatError(
          path, at: "layer '\(layer.dropLast())'",
          .unsupported("no linear reads what attention gives, so 'heads' cannot be rotated"))
      default: continue
      }
    }
  }
}

extension Sequence<LayerOperation> {
  /// Whether norms change values, which follow the queries and keys of an attention among the operations.
  fileprivate func normalizeValues(_ norms: [HeadNorm]) -> Bool {
    contains { operation in
      guard case .attention(let attention) = operation else { return false }
      let start = attention.queryWidth + attention.keyValueWidth
      return norms.contains { $0.columns.upperBound > start }
    }
  }

  /// Whether the first operation is a group of linears.
  fileprivate var startsWithLinears: Bool {
    guard case .linears = first(where: { _ in true }) else { return false }
    return true
  }
}

extension OrthogonalTransform {
  /// Creates a transform with random signs.
  fileprivate init(count: Int, seed: UInt64, stream: Int) {
    var random = RandomStream(seed: seed, stream: stream)
    self.init(signs: (0..<count).map { _ in random.uniform() < 0.5 ? -1 : 1 })
  }
}
