package import Checkpoints
import Kernels
import Models

/// Trains adapters, biases and scales of a quantized model so that its output matches the original's.
///
/// Source: RILQ, arXiv:2412.01129: model loss plus ground-truth loss over all layers at once.
package struct CalibratePass: Pass {
  private let options: CalibrateOptions

  package init(_ options: CalibrateOptions) { self.options = options }

  package var name: String { "calibrate" }

  package func plan(_ input: Checkpoint) throws -> PassPlan {
    let parts = try trainedParts(of: input)
    let configuration = try ModelConfiguration(of: input)
    var editor = ContentsEditor(input.contents)
    for module in quantizedLinears(of: input) {
      if parts.contains(.code), let codes = input.tensor(named: module + ".weight") {
        editor.replace([codes.name], with: [codes], module: module, action: "codes trained")
      }
      for (part, table) in [(TrainedParts.scale, "scales"), (.bias, "biases")] where parts.contains(part) {
        addDelta(of: module, table, in: input, to: &editor)
      }
    }
    if parts.contains(.adapter) {
      for module in adaptedLinears(of: input) {
        editor.add([], behind: module + ".lora_A.weight", module: module, action: "adapter trained")
      }
    }
    return editor.plan(
      memory: Self.windowMemory(configuration, options) * ThreadLimit.current
        + (parts.contains(.code) ? Self.codeMemory(configuration) : 0))
  }

  /// The linears of layers, which are what calibration trains; a quantized head stays as it is.
  private func layerLinears(of input: Checkpoint) -> [String] {
    ModuleDescription.matrices(of: input).filter(\.isLayerLinear).map(\.name)
  }

  private func quantizedLinears(of input: Checkpoint) -> [String] {
    layerLinears(of: input).filter { input.contents.quantization[$0] != nil }
  }

  private func adaptedLinears(of input: Checkpoint) -> [String] {
    layerLinears(of: input).filter { input.tensor(named: $0 + ".lora_A.weight") != nil }
  }

  private func addDelta(
    of module: String, _ table: String, in input: Checkpoint, to editor: inout ContentsEditor
  ) {
    let name = "\(module).\(table)_delta"
    guard input.tensor(named: name) == nil, let base = input.tensor(named: "\(module).\(table)") else {
      return
    }
    editor.add(
      [TensorInfo(name: name, dtype: .f32, shape: base.shape)], behind: module + ".biases", module: module,
      action: "\(table) trained")
  }

  /// The bytes of a window's activations that the backward pass needs, with the largest intermediate results.
  package static func windowMemory(
    _ c: ModelConfiguration, _ options: CalibrateOptions, recomputesLayers: Bool = false
  ) -> Int {
    let attention = (c.headCount + 2 * c.keyValueHeadCount) * c.headSize
    let activations = 2 * c.hiddenSize + attention + c.headCount * c.headSize + 2 * c.intermediateSize
    let kept = recomputesLayers ? c.layerCount * c.hiddenSize + activations : c.layerCount * activations
    let logits = min(options.length, Transformer.tokensPerLogitBlock) * c.vocabularySize
    // With a divergence the original's logits, too; rounded gradients of logits take half as much.
    let logitBytes = logits * (4 + (options.klWeight > 0 ? 4 : 0) + (options.products == .bf16 ? 2 : 0))
    return 4 * options.length * (kept + 8 * c.intermediateSize) + logitBytes
  }

  /// The bytes of the positions of codes, their gradients and moments.
  private static func codeMemory(_ c: ModelConfiguration) -> Int { 4 * 4 * c.layerCount * c.layerWeightCount }

  package func requireTexts(for input: Checkpoint) throws {
    try CalibrationWindows.requireTexts(options.windowSource, for: input)
  }

  package func run(
    _ input: Checkpoint, into writer: any CheckpointWriter, _ context: PassContext
  ) throws -> JSONValue {
    let plan = try plan(input)
    var run = try CalibrationRun(options, parts: try trainedParts(of: input), input: input, context: context)
    let report = try run.train()
    let trained = Dictionary(
      run.student.layerLinears.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    try writeTensors(of: plan.contents, from: input, into: writer) { tensor in
      try Self.trainedTensor(tensor, trained, input: input)
    }
    return report
  }

  /// What is trained: as asked for, or the adapters, or without adapters biases and scales.
  private func trainedParts(of input: Checkpoint) throws -> TrainedParts {
    let (hasTables, hasAdapter) = (!quantizedLinears(of: input).isEmpty, !adaptedLinears(of: input).isEmpty)
    guard hasTables || hasAdapter else {
      throw PassError.usage("\(input.path): has neither quantized weights nor an adapter to calibrate")
    }
    guard let asked = options.train else { return hasAdapter ? .adapter : [.bias, .scale] }
    let parts = asked.reduce(into: TrainedParts()) { $0.insert($1.part) }
    if parts.contains(.adapter), !hasAdapter {
      throw PassError.usage("\(input.path): has no adapter to train; attach one first")
    }
    if !parts.isDisjoint(with: [.bias, .scale, .code]), !hasTables {
      throw PassError.usage("\(input.path): has no quantized weights whose tables could be trained")
    }
    return parts
  }

  /// The new values of a trained tensor; nil for every other one.
  private static func trainedTensor(
    _ tensor: TensorInfo, _ linears: [String: Linear], input: Checkpoint
  ) throws -> TensorBytes? {
    func values(_ suffix: String, _ make: (Linear) throws -> [Float]?) rethrows -> TensorBytes? {
      guard tensor.name.hasSuffix(suffix), let linear = linears[String(tensor.name.dropLast(suffix.count))]
      else { return nil }
      return try make(linear).map { TensorBytes(narrowed($0, to: .f32)) }
    }
    if tensor.dtype == .u32, tensor.name.hasSuffix(".weight"),
      let packed = linears[String(tensor.name.dropLast(".weight".count))]?.weight.packed
    {
      return packed.codes
    }
    return try values(".lora_A.weight") { $0.adapter?.loraA.values }
      ?? values(".lora_B.weight") { $0.adapter?.loraB.values }
      ?? values(".scales_delta") { try change($0.name + ".scales", to: $0.weight.packed?.scales, in: input) }
      ?? values(".biases_delta") { try change($0.name + ".biases", to: $0.weight.packed?.biases, in: input) }
  }

  /// The difference of a table's new values from those in the file.
  private static func change(_ name: String, to new: [Float]?, in input: Checkpoint) throws -> [Float]? {
    guard let new, let tensor = input.tensor(named: name), let format = FloatFormat(tensor.dtype) else {
      return nil
    }
    let base = try input.bytes(of: name).withSpan { widened($0, from: format) }
    return zip(new, base).map { $0 - $1 }
  }
}

extension Trainable {
  fileprivate var part: TrainedParts {
    switch self {
    case .adapter: .adapter
    case .bias: .bias
    case .scale: .scale
    case .code: .code
    }
  }
}
