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
  /// The output head that the model has had no tensor for.
  let newHead: String?

  /// - Parameters:
  ///   - options: What is rotated.
  ///   - configuration: The shape of the model.
  init(_ options: RotateOptions, _ configuration: LlamaConfiguration) {
    let c = configuration
    let stream =
      options.parts.contains(.residual)
      ? OrthogonalTransform(count: c.hiddenSize, seed: options.seed, stream: 0) : nil
    let head =
      options.parts.contains(.heads)
      ? OrthogonalTransform(count: c.headSize, seed: options.seed, stream: 1) : nil
    var rules: [String: Rule] = [:]
    var norms: Set<String> = []
    func add(
      _ module: String, _ shape: [Int], norm: String? = nil, rows: OrthogonalTransform? = nil,
      columns: OrthogonalTransform? = nil, source: String? = nil
    ) {
      guard rows != nil || columns != nil else { return }
      let readsNorm = stream == nil ? nil : norm.map { $0 + ".weight" }
      if let readsNorm { norms.insert(readsNorm) }
      rules[module + ".weight"] = Rule(
        source: (source ?? module) + ".weight", shape: shape, norm: readsNorm, rows: rows, columns: columns)
    }
    let (queries, keys) = (c.headCount * c.headSize, c.keyValueHeadCount * c.headSize)
    for index in 0..<c.layerCount {
      let layer = "model.layers.\(index)"
      let (first, middle) = ("\(layer).input_layernorm", "\(layer).post_attention_layernorm")
      add("\(layer).self_attn.q_proj", [queries, c.hiddenSize], norm: first, rows: stream)
      add("\(layer).self_attn.k_proj", [keys, c.hiddenSize], norm: first, rows: stream)
      add("\(layer).self_attn.v_proj", [keys, c.hiddenSize], norm: first, rows: stream, columns: head)
      add("\(layer).self_attn.o_proj", [c.hiddenSize, queries], rows: head, columns: stream)
      for name in ["gate_proj", "up_proj"] {
        add("\(layer).mlp.\(name)", [c.intermediateSize, c.hiddenSize], norm: middle, rows: stream)
      }
      add("\(layer).mlp.down_proj", [c.hiddenSize, c.intermediateSize], columns: stream)
    }
    let embedding = "model.embed_tokens"
    add(embedding, [c.vocabularySize, c.hiddenSize], rows: stream)
    add(
      "lm_head", [c.vocabularySize, c.hiddenSize], norm: "model.norm", rows: stream,
      source: c.tiesEmbeddings ? embedding : nil)
    self.rules = rules
    self.norms = norms
    newHead = stream != nil && c.tiesEmbeddings ? "lm_head.weight" : nil
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
