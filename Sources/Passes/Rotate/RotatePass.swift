package import Checkpoints
import Kernels
import Models

/// Rotates the residual stream and the heads of a dense model, which leaves what it computes and spreads outliers of its
/// weights over all columns, where a few bits represent them better.
package struct RotatePass: Pass {
  private static let configurationName = "config.json"
  private let options: RotateOptions

  package init(_ options: RotateOptions) { self.options = options }

  package var name: String { "rotate" }

  package func plan(_ input: Checkpoint) throws -> PassPlan {
    let rotation = try rotation(of: input)
    var editor = ContentsEditor(input.contents)
    var largest = 0
    for tensor in input.contents.tensors where rotation.rules[tensor.name] != nil {
      largest = max(largest, tensor.shape.reduce(1, *))
      guard tensor.name != rotation.newHead else { continue }
      editor.replace([tensor.name], with: [rotated(tensor)], module: tensor.name, action: "rotated")
    }
    for name in rotation.norms.sorted(by: precedes) {
      guard let norm = input.tensor(named: name) else { continue }
      editor.replace([name], with: [norm], module: name, action: "made 1")
    }
    if let head = try newHead(rotation, in: input) {
      if input.tensor(named: head.name) != nil {
        editor.replace(
          [head.name], with: [head], module: head.name, action: "rotated, made from the embedding")
      } else {
        editor.add([head], behind: "model.norm.weight", module: head.name, action: "made from the embedding")
      }
    }
    var plan = editor.plan(memory: 12 * largest)
    if let text = try configuration(rotation, of: input) {
      plan.contents.assets = plan.contents.assets.map {
        $0.name == Self.configurationName ? Asset(name: $0.name, byteCount: text.count) : $0
      }
      plan.assets[Self.configurationName] = TensorBytes(text)
    }
    return plan
  }

  package func run(
    _ input: Checkpoint, into writer: any CheckpointWriter, _ context: PassContext
  ) throws -> JSONValue {
    let plan = try plan(input)
    let rotation = try rotation(of: input)
    let source = input.replacing(contents: input.contents, assets: plan.assets)
    let reader = ModelReader(checkpoint: input)
    var (rounding, total, done) = (0.0, 0.0, 0)
    try writeTensors(of: plan.contents, from: source, into: writer) { tensor in
      if rotation.norms.contains(tensor.name), let format = FloatFormat(tensor.dtype) {
        return TensorBytes(narrowed([Float](repeating: 1, count: tensor.shape[0]), to: format))
      }
      guard let rule = rotation.rules[tensor.name], let format = FloatFormat(tensor.dtype) else { return nil }
      let norm = try rule.norm.map { try reader.vector($0, count: rule.shape[1]) }
      var values = try reader.floats(rule.source, shape: rule.shape)
      try Self.requireFinite(values, name: rule.source)
      ModelRotation.apply(rule, to: &values, norm: norm)
      let bytes = narrowed(values, to: format)
      let stored = widened(bytes, from: format)
      try Self.requireFinite(stored, name: tensor.name)
      for (exact, stored) in zip(values, stored) {
        rounding += Double(stored - exact) * Double(stored - exact)
        total += Double(exact) * Double(exact)
      }
      done += 1
      context.progress(
        Progress(phase: "rotate", completed: done, total: rotation.rules.count, detail: tensor.name))
      return TensorBytes(bytes)
    }
    return .object([
      JSONValue.Member("tensors", .integer(done)),
      JSONValue.Member("relative_rounding", .double(total > 0 ? (rounding / total).squareRoot() : 0)),
      JSONValue.Member("adds_output_head", .bool(rotation.newHead != nil)),
    ])
  }

  private static func requireFinite(_ values: [Float], name: String) throws {
    if let index = values.firstIndex(where: { !$0.isFinite }) {
      throw PassError.notFinite(tensor: name, index: index)
    }
  }

  /// What becomes of the tensors; all it needs are there, dense, and of the right shapes.
  private func rotation(of input: Checkpoint) throws -> ModelRotation {
    if let module = input.contents.quantization.keys.min(by: precedes) {
      throw PassError.usage(
        "rotate: module '\(module)' is quantized; put 'rotate' before 'quantize', or begin with the model in F16 or BF16"
      )
    }
    guard input.contents.adapter == nil else {
      throw PassError.usage("rotate: \(input.path) has an adapter; merge it first")
    }
    let configuration = try LlamaConfiguration(of: input)
    for size in [configuration.hiddenSize, configuration.headSize] {
      let odd = OrthogonalTransform.oddFactor(of: size)
      guard odd <= OrthogonalTransform.oddLimit else {
        throw PassError.usage(
          "rotate: \(input.path): a width of \(size) has the odd factor \(odd); the limit is \(OrthogonalTransform.oddLimit)"
        )
      }
    }
    let rotation = ModelRotation(options, configuration)
    let reader = ModelReader(checkpoint: input)
    for (_, rule) in rotation.rules.sorted(by: { precedes($0.key, $1.key) }) {
      _ = try reader.format(of: rule.source, shape: rule.shape)
    }
    for norm in rotation.norms.sorted(by: precedes) {
      _ = try reader.format(of: norm, shape: [configuration.hiddenSize])
    }
    return rotation
  }

  private func rotated(_ tensor: TensorInfo) -> TensorInfo {
    TensorInfo(name: tensor.name, dtype: options.dtype ?? tensor.dtype, shape: tensor.shape)
  }

  /// The output head that is made, of the embedding's dtype.
  private func newHead(_ rotation: ModelRotation, in input: Checkpoint) throws -> TensorInfo? {
    guard let name = rotation.newHead, let rule = rotation.rules[name],
      let embedding = input.tensor(named: rule.source)
    else { return nil }
    return rotated(TensorInfo(name: name, dtype: embedding.dtype, shape: embedding.shape))
  }

  /// The configuration of a model whose output head is no longer the embedding or whose weights have another dtype, or nil
  /// when it does not change.
  private func configuration(_ rotation: ModelRotation, of input: Checkpoint) throws -> [UInt8]? {
    guard options.parts.contains(.residual), let bytes = try input.asset(named: Self.configurationName) else {
      return nil
    }
    let before = try bytes.withSpan { span throws(FormatError) in
      try JSONValue(parsing: span, path: input.path + "/" + Self.configurationName)
    }
    var json = before
    if rotation.newHead != nil { json.set("tie_word_embeddings", to: .bool(false)) }
    if let name = options.dtype?.configurationName {
      for key in ["dtype", "torch_dtype"] where json[key] != nil { json.set(key, to: .string(name)) }
    }
    return json == before ? nil : Array((json.prettyText + "\n").utf8)
  }
}
