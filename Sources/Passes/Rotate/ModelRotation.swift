import Checkpoints
import Kernels
import Models

/// What becomes of the tensors of a model whose residual stream and heads are rotated.
///
/// With `Q` the matrix that turns a row of the residual stream and `R` the one that turns a head's values, the weights that
/// read the stream become `W · diag(g) · Q`, `g` being the norm before them, which then is 1; those that write it become
/// `Qᵀ · W`; and values are turned as they come and back as they go. Nothing is left to do when the model runs.
///
/// Source: QuaRot, arXiv:2404.00456, section 4, stages 1a and 1b; R1 and R2 of SpinQuant, arXiv:2405.16406.
struct ModelRotation {
  /// What becomes of one weight.
  struct Rule {
    /// The weight that it is made from.
    let source: String
    /// `[out, in]`.
    let shape: [Int]
    /// The norm whose weights the columns are multiplied with.
    var norm: String?
    /// What turns each row, or equal parts of it.
    var rows: OrthogonalTransform?
    /// What turns each column, or equal parts of it.
    var columns: OrthogonalTransform?
  }

  /// By the name of the weight, in no order.
  let rules: [String: Rule]
  /// The norms that become 1.
  let norms: Set<String>
  /// The output head that the model has had no tensor of its own for.
  let newHead: String?
  /// Whether the configuration ties the embeddings, which are two matrices afterwards.
  let untiesEmbeddings: Bool
  /// The norm after the last layer, which a new head stands after.
  let lastNorm: String

  /// Finds out what becomes of each tensor; all that are needed are there, and of the right shapes.
  ///
  /// - Parameters:
  ///   - options: What is rotated.
  ///   - layout: Where the tensors of the model are.
  ///   - input: The checkpoint.
  /// - Throws: `FormatError` with the first tensor that is missing, of another shape, or no float.
  init(_ options: RotateOptions, _ layout: ModelLayout, in input: Checkpoint) throws {
    try layout.requireTensors(in: input)
    let turns = Turns(options, layout.configuration)
    let reader = ModelReader(checkpoint: input)
    var rules: [String: Rule] = [:]
    var norms: Set<String> = []
    func add(_ tensor: ModelTensor, madeFrom source: ModelTensor? = nil) throws {
      guard let rule = turns.rule(for: tensor, source: source ?? tensor) else { return }
      _ = try reader.format(of: rule.source, shape: rule.shape)
      if let norm = rule.norm {
        _ = try reader.format(of: norm, shape: [rule.shape[1]])
        norms.insert(norm)
      }
      rules[tensor.name] = rule
    }
    for tensor in layout.bodyTensors { try add(tensor) }
    let hasOwnHead = try layout.outputHead(in: input) == .own
    try add(layout.head, madeFrom: hasOwnHead ? nil : layout.embedding)
    self.rules = rules
    self.norms = norms
    newHead = turns.stream != nil && !hasOwnHead ? layout.head.name : nil
    untiesEmbeddings = turns.stream != nil && layout.configuration.tiesEmbeddings
    lastNorm = layout.finalNorm.name
  }

  /// What turns the dimensions of a model.
  private struct Turns {
    let stream: OrthogonalTransform?
    let head: OrthogonalTransform?

    init(_ options: RotateOptions, _ c: ModelConfiguration) {
      func transform(_ part: RotateOptions.Part, count: Int, stream: Int) -> OrthogonalTransform? {
        options.parts.contains(part)
          ? OrthogonalTransform(count: count, seed: options.seed, stream: stream) : nil
      }
      stream = transform(.residual, count: c.hiddenSize, stream: 0)
      head = transform(.heads, count: c.headSize, stream: 1)
    }

    private func transform(of axis: ModelAxis) -> OrthogonalTransform? {
      switch axis {
      case .stream: stream
      case .values, .attended: head
      case .vocabulary, .queries, .keys, .feedForward: nil
      }
    }

    /// What becomes of a matrix, or nil when it stays as it is.
    ///
    /// The values of a row lie along the last dimension.
    func rule(for tensor: ModelTensor, source: ModelTensor) -> Rule? {
      let axes = tensor.slot.axes
      guard axes.count == 2 else { return nil }
      let (columns, rows) = (transform(of: axes[0]), transform(of: axes[1]))
      guard rows != nil || columns != nil else { return nil }
      let norm = stream == nil ? nil : tensor.norm.map { ModuleTensor.weight.name(of: $0) }
      return Rule(source: source.name, shape: tensor.shape, norm: norm, rows: rows, columns: columns)
    }
  }

  /// Rotates a weight.
  ///
  /// - Parameters:
  ///   - rule: What to do.
  ///   - values: `[out, in]`; replaced.
  ///   - norm: The weights of its norm, if there is one.
  static func apply(_ rule: Rule, to values: inout [Float], norm: [Float]?) {
    let (rowCount, columnCount) = (rule.shape[0], rule.shape[1])
    rotate(&values, columnCount: columnCount, by: rule.rows, scales: norm)
    guard rule.columns != nil else { return }
    values = transposed(values, rowCount: rowCount, columnCount: columnCount)
    rotate(&values, columnCount: rowCount, by: rule.columns, scales: nil)
    values = transposed(values, rowCount: columnCount, columnCount: rowCount)
  }

  private static func rotate(
    _ values: inout [Float], columnCount: Int, by transform: OrthogonalTransform?, scales: [Float]?
  ) {
    guard let transform else { return }
    var span = values.mutableSpan
    parallelRows(of: &span, columnCount: columnCount, rowsPerChunk: 64) { rows, part in
      if let scales {
        for row in rows.indices.map({ $0 - rows.lowerBound }) {
          for column in 0..<columnCount { part[row * columnCount + column] *= scales[column] }
        }
      }
      for start in stride(from: 0, to: part.count, by: transform.size) {
        var vector = part._mutatingExtracting(start..<start + transform.size)
        transform.apply(to: &vector)
      }
    }
  }
}

extension OrthogonalTransform {
  /// A transform with random signs.
  fileprivate init(count: Int, seed: UInt64, stream: Int) {
    var random = RandomStream(seed: seed, stream: stream)
    self.init(signs: (0..<count).map { _ in random.uniform() < 0.5 ? -1 : 1 })
  }
}
