public import Checkpoints
import Kernels
import Models

/// Trains adapters, biases and scales of a quantized model so that its output matches the original's.
///
/// Source: RILQ, arXiv:2412.01129: model loss plus ground-truth loss over all layers at once.
public struct CalibratePass: Pass, WindowRequestingPass {
  /// The name in recipes.
  public static let name = "calibrate"
  /// The summary for help.
  public static let summary = "Train adapters or tables of a quantized model to match the original."
  /// The pass writes one line per update.
  public static let writesLog = true
  /// The options of the pass.
  public var options: CalibrateOptions

  /// Takes options.
  public init(_ options: CalibrateOptions) { self.options = options }

  /// Determines the parameters to train.
  public func plan(_ input: Checkpoint) throws -> PassPlan {
    let parts = try trainedParts(of: input)
    let sizes = try ModelSizes(of: input)
    var editor = PlanEditor(input)
    for module in quantizedLinears(of: input) {
      let hasFreeCodes = input.contents.quantization[module]?.superBlock?.lattice == nil
      if parts.contains(.code), hasFreeCodes, let codes = input.tensor(named: module + ".weight") {
        editor.replace([codes.name], with: [codes], module: module, action: "codes trained")
      }
      guard input.contents.quantization[module]?.superBlock == nil else {
        guard !parts.isDisjoint(with: [.scale, .bias]) else { continue }
        addDelta(.blockFactorsDelta, of: .blockFactors, module, in: input, to: &editor)
        continue
      }
      let tables: [(TrainedParts, ModuleTensor, ModuleTensor)] = [
        (.scale, .scales, .scalesDelta), (.bias, .biases, .biasesDelta),
      ]
      let hasBiases = input.contents.quantization[module]?.hasOwnBiases ?? true
      for (part, table, delta) in tables where parts.contains(part) && (part != .bias || hasBiases) {
        addDelta(delta, of: table, module, in: input, to: &editor)
      }
    }
    if parts.contains(.adapter) {
      for module in adaptedLinears(of: input) {
        let factors = [ModuleTensor.loraA, .loraB].map { $0.name(of: module) }
        editor.add([], after: factors[0], rewriting: factors, module: module, action: "adapter trained")
      }
    }
    let memory =
      trainingMemory(of: input, sizes, parts) + (parts.contains(.code) ? Self.codeMemory(sizes) : 0)
    var plan = editor.plan(memory: memory.byteCount) { [options] input, context in
      try CalibratedTensors(CalibrationRun(options, parts: parts, input: input, context: context), input)
    }
    if parts.contains(.code) {
      plan.onlyAlone =
        "calibrate: codes are trained by one process, because their gradients are as large as the model; leave "
        + "'code' out of 'train', or start one process"
    }
    plan.work = try work(of: input, parts)
    return plan
  }

  /// Estimates the products of the original's windows, of the updates and of the validations.
  private func work(of input: Checkpoint, _ parts: TrainedParts) throws -> WorkEstimate {
    let token = try TokenWork(of: input, length: options.length)
    let usesLogits = options.klWeight > 0 || options.groundTruthWeight > 0
    // The original's logits are computed again from its hidden states.
    let logits = (usesLogits ? token.head : 0) + (options.klWeight > 0 ? token.head : 0)
    // Back to inputs, and to the weights whose tables or codes are trained.
    let back = (parts == .adapter ? 1 : 2) * token.layers + (usesLogits ? token.head : 0)
    let validations = options.validation > 0 ? 1 + options.updates / options.validateEvery : 0
    let windows =
      Double(options.samples + options.validation) * token.layers
      + Double(options.updates * options.batch) * (token.layers + logits + back)
      + Double(validations * options.validation) * (token.layers + logits)
    return WorkEstimate(Double(options.length) * windows, options.products)
  }

  /// Returns the linears of layers, the only ones that calibration trains; a quantized head does not change.
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
    _ delta: ModuleTensor, of table: ModuleTensor, _ module: String, in input: Checkpoint,
    to editor: inout PlanEditor
  ) {
    guard let base = input.tensor(named: table.name(of: module)) else { return }
    let action = "\(table.rawValue.dropFirst()) trained"
    if let known = input.tensor(named: delta.name(of: module)) {
      editor.add([], after: known.name, rewriting: [known.name], module: module, action: action)
    } else {
      let new = TensorInfo(name: delta.name(of: module), dtype: .f32, shape: base.shape)
      let last = input.contents.quantization[module]?.partKinds.last ?? table
      editor.add([new], after: last.name(of: module), module: module, action: action)
    }
  }

  /// Returns the bytes of the activations that the backward pass of a window needs, with the largest
  /// intermediate results.
  static func windowMemory(
    _ sizes: ModelSizes, _ options: CalibrateOptions, recomputesLayers: Bool = false
  ) -> MemoryEstimate {
    let attention = sizes.queries + 2 * sizes.keys
    let activations = 2 * sizes.hidden + attention + sizes.queries + 2 * sizes.intermediate
    let kept =
      recomputesLayers ? sizes.layers * sizes.hidden + activations : sizes.layers * activations
    let tokens = Transformer.tokensPerLogitBlock(vocabulary: sizes.vocabulary.byteCount)
    let logits = min(options.length, tokens) * sizes.vocabulary
    // A divergence also needs the original's logits; the gradients of logits are packed for their products.
    let bytesPerLogit = 4 + (options.klWeight > 0 ? 4 : 0) + (options.products == .bf16 ? 2 : 4)
    return 4 * MemoryEstimate(options.length) * (kept + 8 * sizes.intermediate) + bytesPerLogit * logits
  }

  /// Returns the memory of a window in bytes.
  package static func windowMemory(
    _ configuration: ModelConfiguration, _ options: CalibrateOptions, recomputesLayers: Bool = false
  ) -> Int {
    windowMemory(ModelSizes(configuration), options, recomputesLayers: recomputesLayers).byteCount
  }

  /// Returns the bytes of tables and adapters, of their training, and of the windows computed at once if the
  /// user sets no limit.
  private func trainingMemory(
    of input: Checkpoint, _ sizes: ModelSizes, _ parts: TrainedParts
  ) -> MemoryEstimate {
    let pace = CalibrationPace(options, sizes, memoryLimit: nil)
    // A trained value has a gradient of each window beside their sum, two moments and, if there is a
    // validation, a copy in the best state; a table also has its start and its parameters.
    let gradients = MemoryEstimate(pace.windowsAtOnce) + 1
    let moments: MemoryEstimate = options.validation > 0 ? 3 : 2
    let copies = gradients + moments
    var values = MemoryEstimate(0)
    for module in quantizedLinears(of: input) {
      guard let layout = input.contents.quantization[module],
        let codes = input.tensor(named: ModuleTensor.weight.name(of: module))
      else { continue }
      let weights = layout.weightCount(ofStored: codes)
      let groups = MemoryEstimate(weights / layout.groupSize)
      // Super-blocks have values and gradients for each group, and the rest for each block.
      let others = layout.superBlock == nil ? groups : MemoryEstimate(weights / layout.blockColumnCount)
      for part in [TrainedParts.scale, .bias] {
        values = values + groups
        if parts.contains(part) { values = values + gradients * groups + (moments + 2) * others }
      }
    }
    for factor in [ModuleTensor.loraA, .loraB] {
      let elements = adaptedLinears(of: input).reduce(MemoryEstimate(0)) { sum, module in
        sum + MemoryEstimate(input.tensor(named: factor.name(of: module))?.elementCount ?? 0)
      }
      values = values + (parts.contains(.adapter) ? copies + 1 : 1) * elements
    }
    return 4 * values + MemoryEstimate(pace.windowsAtOnce) * Self.windowMemory(sizes, options)
  }

  /// Returns the bytes of the codes' positions, gradients and moments.
  private static func codeMemory(_ sizes: ModelSizes) -> MemoryEstimate {
    4 * 4 * sizes.layers * sizes.layerWeights
  }

  var windowSource: WindowSource? { options.windowSource }
  /// None from the run's original model if another one is the teacher.
  var requestedWindows: WindowSource? { options.teacher == nil ? windowSource : nil }

  /// Reads the texts once to check that they are long enough.
  public func checkTexts(for input: Checkpoint, _ access: FileAccess) throws {
    try CalibrationWindows.requireTexts(options.windowSource, for: input)
  }

  /// Returns the parameters to train: the requested ones, or the adapters, or biases and scales if there are
  /// no adapters.
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
    let layouts = quantizedLinears(of: input).compactMap { input.contents.quantization[$0] }
    if parts == .code, let grid = layouts.first?.gridName,
      layouts.allSatisfy({ $0.superBlock?.lattice != nil })
    {
      throw PassError.usage("\(input.path): its codes are points of \(grid), which stay; train 'scale'")
    }
    if parts == .bias, layouts.allSatisfy({ !$0.hasOwnBiases }) {
      throw PassError.usage("\(input.path): its biases are multiples of its scales; train 'scale'")
    }
    return parts
  }
}

extension PassOptions {
  /// Creates the step of a recipe.
  public static func calibrate(_ options: CalibrateOptions) -> PassOptions {
    PassOptions(CalibratePass(options))
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
