public import Checkpoints
import Kernels
import Models

/// Replaces the weights of linears by packed codes with tables, on all cores: one tensor at a time, or with windows layer
/// after layer.
public struct QuantizePass: Pass {
  /// The name in recipes.
  public static let name = "quantize"
  /// What it does.
  public static let summary = "Round the weights of linears to a few bits."
  /// How it is done.
  public var options: QuantizeOptions

  /// Takes options.
  public init(_ options: QuantizeOptions) { self.options = options }

  /// Finds the modules and what each becomes; a budget of bits is distributed when the turn of the pass has come.
  public func plan(_ input: Checkpoint) throws -> PassPlan {
    var plan = try plan(input, widths: nil)
    if let budget = options.bitsPerWeight, options.hasWindows {
      plan.refine = { input, context in
        try self.plan(input, widths: try self.widths(within: budget, for: input, context))
      }
    }
    return plan
  }

  /// Plans with the width of each module that gets one from a budget; nil while they are not known.
  private func plan(_ input: Checkpoint, widths: [String: Int]?) throws -> PassPlan {
    var editor = PlanEditor(input)
    var largest = 0
    var grids: [String: QuantizationGrid] = [:]
    let modules = try options.parameters(of: try selectedModules(of: input))
    if let budget = options.bitsPerWeight { _ = try bitsForCodes(budget, modules, in: input) }
    for stated in modules {
      let (module, parameters) = (stated.module, resolved(stated, widths ?? [:]))
      let weight = try denseWeight(of: module, in: input)
      try checkDivisible(weight, by: parameters.groupSize)
      largest = max(largest, weight.elementCount)
      grids[module] = grid(parameters)
      guard options.method != .nf2 else {
        let action = "nf2, groups of \(parameters.groupSize), written dense as \(weight.dtype.rawValue)"
        editor.replace([weight.name], with: [weight], module: module, action: action)
        continue
      }
      let isOpen = options.bitsPerWeight != nil && !stated.hasOwnBits && widths == nil
      let bits = isOpen ? BitAllocation.widths.alternatives() : "\(parameters.bits)"
      editor.replace(
        [weight.name], with: packedTensors(module, weight, parameters), module: module,
        action: "\(options.method.rawValue), \(bits) bits, groups of \(parameters.groupSize)")
      editor.update { $0.quantization[module] = parameters }
    }
    let memory = MemoryEstimate(largest) * 4 + (try windowMemory(of: input))
    return editor.plan(memory: memory.byteCount) { [grids] input, context in
      try begin(grids, input, context)
    }
  }

  private func begin(
    _ grids: [String: QuantizationGrid], _ input: Checkpoint, _ context: PassContext
  ) throws -> any PassRun {
    guard options.method == .nf2 else { return try QuantizeRun(self, grids, input, context) }
    return NormalFloatRun(groupSizes: grids.mapValues(\.groupSize), input: input, context: context)
  }

  /// Reads the windows' texts once, which shows whether there are enough.
  public func checkTexts(for input: Checkpoint, _ access: FileAccess) throws {
    guard options.hasWindows else { return }
    try CalibrationWindows.requireTexts(options.windowSource, for: input)
  }

  /// The bytes that windows, and the moments of what linears read, take.
  private func windowMemory(of input: Checkpoint) throws -> MemoryEstimate {
    guard options.hasWindows else { return 0 }
    let sizes = try ModelSizes(of: input)
    let tokens = MemoryEstimate(options.samples) * MemoryEstimate(options.length)
    // A token has its residual stream and what attention gives, and where sensitivity is measured the stream before a part.
    // Five square matrices of doubles exist at once while the moments of the widest input are factored, and two more
    // with propagation, for which there are also the windows in the original model.
    let hasOriginal = options.propagation > 0 || options.layerEpochs > 0
    let (copies, matrices) = hasOriginal ? (2, 7) : (1, 5)
    let width =
      copies * (sizes.hidden + sizes.queries) + (options.bitsPerWeight == nil ? 0 : sizes.hidden)
    // A layer that is trained needs the stream before it too, and its weights with gradients and moments.
    let trained = options.layerEpochs > 0 ? 4 * tokens * sizes.hidden + 4 * 8 * sizes.layerWeights : 0
    return 4 * tokens * width + matrices * 8 * sizes.order * sizes.order + trained
  }

  var tables: FloatFormat {
    guard let tables = FloatFormat(options.tables) else {
      preconditionFailure("a dtype that is no float was not refused")
    }
    return tables
  }

  func grid(_ parameters: QuantizationParameters) -> QuantizationGrid {
    QuantizationGrid(bits: parameters.bits, groupSize: parameters.groupSize, tables: tables)
  }

  /// Bits and group size of a module; where a budget is to be distributed yet, the least bits.
  private func resolved(
    _ stated: QuantizeOptions.ModuleParameters, _ widths: [String: Int]
  ) -> QuantizationParameters {
    guard options.bitsPerWeight != nil, !stated.hasOwnBits else { return stated.parameters }
    var parameters = stated.parameters
    parameters.bits = widths[stated.module] ?? BitAllocation.widths[0]
    return parameters
  }

  /// The windows that go through the model.
  func windows(for input: Checkpoint, _ context: PassContext) throws -> [[Int32]] {
    try CalibrationWindows(
      options.windowSource, input: input, original: context.original, work: context.work,
      progress: context.progress
    ).tokens
  }

  func selectedModules(of input: Checkpoint) throws -> [String] {
    let modules = ModuleDescription.denseMatrices(of: input)
    return try ModuleSelection(targets: options.targets, ignore: options.ignore).select(from: modules)
  }

  func denseWeight(of module: String, in input: Checkpoint) throws -> TensorInfo {
    guard let weight = input.tensor(named: module + ".weight") else {
      throw FormatError(input.path, .missing("tensor '\(module).weight'"))
    }
    guard FloatFormat(weight.dtype) != nil else {
      throw FormatError(
        input.path, at: "tensor '\(weight.name)'",
        .unsupported("dtype \(weight.dtype.rawValue) cannot be quantized; F32, F16 and BF16 can"))
    }
    return weight
  }

  private func checkDivisible(_ weight: TensorInfo, by groupSize: Int) throws {
    let columns = weight.shape[1]
    guard columns % groupSize != 0 else { return }
    throw PassError.divisibility(
      tensor: weight.name, columns: columns, groupSize: groupSize,
      fitting: [128, 64, 32].filter { columns % $0 == 0 })
  }

  private func packedTensors(
    _ module: String, _ weight: TensorInfo, _ parameters: QuantizationParameters
  ) -> [TensorInfo] {
    let (rows, columns) = (weight.shape[0], weight.shape[1])
    let table = [rows, columns / parameters.groupSize]
    return [
      TensorInfo(name: module + ".weight", dtype: .u32, shape: [rows, columns * parameters.bits / 32]),
      TensorInfo(name: module + ".scales", dtype: options.tables, shape: table),
      TensorInfo(name: module + ".biases", dtype: options.tables, shape: table),
    ]
  }

  /// Codes and tables of a module by its weight alone.
  func quantizeAlone(
    _ module: String, in input: Checkpoint, _ quantizer: any RowQuantizer
  ) throws -> (module: PackedTensorStore.Module, packed: PackedTensor) {
    let tensor = try denseWeight(of: module, in: input)
    guard let format = FloatFormat(tensor.dtype) else {
      preconditionFailure("a dtype that is no float was not refused")
    }
    let weight = Weight(
      rows: tensor.shape[0], columns: tensor.shape[1],
      values: .dense(try input.bytes(of: tensor.name), format))
    let packed = try quantizer.quantize(weight, name: tensor.name)
    let stored = PackedTensorStore.Module(
      codes: TensorBytes(packed.codes), scales: TensorBytes(narrowed(packed.scales, to: tables)),
      biases: TensorBytes(narrowed(packed.biases, to: tables)))
    return (stored, packed.withoutValues)
  }
}

extension PassOptions {
  /// Rounds the weights of linears to a few bits.
  public static func quantize(_ options: QuantizeOptions) -> PassOptions {
    PassOptions(QuantizePass(options))
  }
}
