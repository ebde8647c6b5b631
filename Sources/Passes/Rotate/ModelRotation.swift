import Checkpoints
import Kernels
import Models

/// The changes of a model's tensors when its residual stream and heads are rotated.
///
/// `Q` rotates a row of the residual stream and `R` a head's values. Weights that read the stream become `W ·
/// diag(g) · Q`, with `g` the weights of the norm before them, which then become 1. Weights that write the
/// stream become `Qᵀ · W`. Values of attention are rotated by the weights that produce them and rotated back
/// by those that read them. The running model needs no additional work.
///
/// Source: QuaRot, arXiv:2404.00456, section 4, stages 1a and 1b; R1 and R2 of SpinQuant, arXiv:2405.16406.
struct ModelRotation {
  /// The change of one weight.
  struct Rule {
    /// The weight that it is computed from.
    let source: String
    /// `[out, in]`.
    let shape: [Int]
    /// The norm whose weights multiply the columns.
    var norm: String?
    /// The transform of each row, or of equal parts of each row.
    var rows: OrthogonalTransform?
    /// The transform of each column, or of equal parts of each column.
    var columns: OrthogonalTransform?
  }

  /// The rules by name of the weight.
  let rules: [String: Rule]
  /// The norms whose weights become 1.
  let norms: Set<String>
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
  /// - Throws: `FormatError` with the first tensor that is missing, has another shape, or is not a float.
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

  /// The transforms of a model's dimensions.
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
      switch axis.kind {
      case .stream: stream
      case .values, .attended: head
      case .vocabulary, .queries, .keys, .feedForward, .head, .joined, .other: nil
      }
    }

    /// Returns the rule of a matrix, or nil when it does not change.
    ///
    /// The values of a row are along the last dimension.
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
  ///   - rule: The rule of the weight.
  ///   - values: `[out, in]`; replaced.
  ///   - norm: The weights of the norm, if there is one.
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
        var vector = part.slice(start..<start + transform.size)
        transform.apply(to: &vector)
      }
    }
  }
}

extension OrthogonalTransform {
  /// Creates a transform with random signs.
  fileprivate init(count: Int, seed: UInt64, stream: Int) {
    var random = RandomStream(seed: seed, stream: stream)
    self.init(signs: (0..<count).map { _ in random.uniform() < 0.5 ? -1 : 1 })
  }
}
