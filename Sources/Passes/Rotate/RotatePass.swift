public import Checkpoints
import Kernels
import Models

/// Rotates the residual stream and the heads of a dense model.
///
/// The output stays the same, and outliers of weights spread over all columns, where a few bits represent
/// them better.
public struct RotatePass: Pass {
  /// The name in recipes.
  public static let name = "rotate"
  /// The summary for help.
  public static let summary =
    "Rotate a model's activations, which leaves its function and spreads outliers of its weights."
  private static let configurationName = ModelConfiguration.fileName
  /// The options of the pass.
  public var options: RotateOptions

  /// Takes options.
  public init(_ options: RotateOptions) { self.options = options }

  /// Later passes compare with the rotated model, because they see its activations.
  public var effect: PassEffect {
    var effect = PassEffect()
    effect.replacesOriginal = true
    return effect
  }

  /// Selects the tensors to rotate and the norms that become part of the linears after them.
  public func plan(_ input: Checkpoint) throws -> PassPlan {
    let given = input
    let input = try given.separatingExperts()
    let rotation = try rotation(of: input)
    var editor = PlanEditor(input)
    var largest = 0
    for tensor in input.contents.tensors where rotation.rules[tensor.name] != nil {
      largest = max(largest, tensor.elementCount)
      guard tensor.name != rotation.newHead else { continue }
      editor.replace([tensor.name], with: [rotated(tensor)], module: tensor.name, action: "rotated")
    }
    for (name, value) in rotation.norms.sorted(by: { precedes($0.key, $1.key) }) {
      guard let norm = input.tensor(named: name) else { continue }
      editor.replace([name], with: [norm], module: name, action: "made \(Int(value))")
    }
    if let head = try newHead(rotation, in: input) {
      if input.tensor(named: head.name) != nil {
        editor.replace(
          [head.name], with: [head], module: head.name, action: "rotated, made from the embedding")
      } else {
        editor.add([head], after: rotation.lastNorm, module: head.name, action: "made from the embedding")
      }
    }
    let memory = 12 * MemoryEstimate(largest)
    var plan = editor.plan(memory: memory.byteCount) { input, context in
      RotateRun(rotation: rotation, input: input, context: context)
    }
    plan.separatesExperts = input.contents.tensors != given.contents.tensors
    if let text = try configuration(rotation, of: input) {
      plan.contents.assets = plan.contents.assets.map {
        $0.name == Self.configurationName ? Asset(name: $0.name, byteCount: text.count) : $0
      }
      plan.assets[Self.configurationName] = TensorBytes(text)
    }
    return plan
  }

  /// Returns the changes of the tensors; checks that all are present, dense, and have the right shapes.
  private func rotation(of input: Checkpoint) throws -> ModelRotation {
    if let module = input.contents.quantization.keys.min(by: precedes) {
      throw PassError.usage(
        "rotate: module '\(module)' is quantized; put 'rotate' before 'quantize', or begin with the model in F16 or BF16"
      )
    }
    guard input.contents.adapter == nil else {
      throw PassError.usage("rotate: \(input.path) has an adapter; merge it first")
    }
    let layout = try ModelLayout(of: input)
    let configuration = layout.configuration
    for size in [configuration.hiddenSize] + configuration.rotatedHeadSizes.sorted() {
      let odd = OrthogonalTransform.oddFactor(of: size)
      guard odd <= OrthogonalTransform.oddLimit else {
        throw PassError.usage(
          "rotate: \(input.path): a width of \(size) has the odd factor \(odd); the limit is \(OrthogonalTransform.oddLimit)"
        )
      }
    }
    return try ModelRotation(options, layout, in: input)
  }

  private func rotated(_ tensor: TensorInfo) -> TensorInfo {
    TensorInfo(name: tensor.name, dtype: options.dtype ?? tensor.dtype, shape: tensor.shape)
  }

  /// Returns the output head to add, with the embedding's dtype.
  private func newHead(_ rotation: ModelRotation, in input: Checkpoint) throws -> TensorInfo? {
    guard let name = rotation.newHead, let rule = rotation.rules[name],
      let embedding = input.tensor(named: rule.source)
    else { return nil }
    return rotated(TensorInfo(name: name, dtype: embedding.dtype, shape: embedding.shape))
  }

  /// Returns the configuration after untying the head or changing the dtype, or nil when it does not change.
  private func configuration(_ rotation: ModelRotation, of input: Checkpoint) throws -> [UInt8]? {
    guard options.parts.contains(.residual), try input.asset(named: Self.configurationName) != nil else {
      return nil
    }
    let before = try input.configuration()
    var json = before
    if rotation.untiesEmbeddings { json = json.withOwnHead }
    if let name = options.dtype?.configurationName {
      for key in ["dtype", "torch_dtype"] where json[key] != nil { json.set(key, to: .string(name)) }
    }
    return json == before ? nil : Array((json.prettyText + "\n").utf8)
  }
}

extension PassOptions {
  /// Creates the step of a recipe.
  public static func rotate(_ options: RotateOptions) -> PassOptions { PassOptions(RotatePass(options)) }
}

/// Rotates tensor after tensor.
private struct RotateRun: PassRun {
  let rotation: ModelRotation
  let input: Checkpoint
  let context: PassContext
  private var rounding = 0.0
  private var total = 0.0
  private var done = 0

  init(rotation: ModelRotation, input: Checkpoint, context: PassContext) {
    self.rotation = rotation
    self.input = input
    self.context = context
  }

  mutating func make(_ replacement: PassPlan.Replacement) throws -> [TensorBytes] {
    let tensor = replacement.outputs[0]
    guard let format = FloatFormat(tensor.dtype) else { preconditionFailure("\(tensor.name): no float type") }
    guard let rule = rotation.rules[tensor.name] else {
      let value = rotation.norms[tensor.name] ?? 1
      return [TensorBytes(narrowed([Float](repeating: value, count: tensor.elementCount), to: format))]
    }
    let reader = ModelReader(checkpoint: input)
    let norm = try rule.norm.map { norm in
      try reader.vector(norm.name, count: rule.shape[1]).map { $0 + norm.offset }
    }
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
    return [TensorBytes(bytes)]
  }

  mutating func finish() throws -> any PassReport {
    RotationReport(
      tensors: done, relativeRounding: total > 0 ? (rounding / total).squareRoot() : 0,
      addsOutputHead: rotation.newHead != nil)
  }

  private static func requireFinite(_ values: [Float], name: String) throws {
    if let index = values.firstIndex(where: { !$0.isFinite }) {
      throw PassError.notFinite(tensor: name, index: index)
    }
  }
}

/// The report of a rotation.
public struct RotationReport: PassReport {
  /// The number of rotated tensors.
  public let tensors: Int
  /// The norm of the rounding error, relative to the norm of the rotated weights.
  public let relativeRounding: Double
  /// Whether the output head became a separate tensor.
  public let addsOutputHead: Bool

  /// The values of the report, in order.
  public var items: [ReportItem] {
    [
      ReportItem("tensors", .integer(tensors)), ReportItem("relative_rounding", .number(relativeRounding)),
      ReportItem("adds_output_head", .flag(addsOutputHead)),
    ]
  }
}
