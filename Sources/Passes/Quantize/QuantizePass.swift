package import Checkpoints
import Kernels
import Models

/// Replaces the weights of linears by packed codes with tables, on all cores: one tensor at a time, or with windows layer
/// after layer.
package struct QuantizePass: Pass {
  private let options: QuantizeOptions

  package init(_ options: QuantizeOptions) { self.options = options }

  package var name: String { "quantize" }

  package func plan(_ input: Checkpoint) throws -> PassPlan {
    var editor = ContentsEditor(input.contents)
    var largest = 0
    for module in try selectedModules(of: input) {
      let weight = try denseWeight(of: module, in: input)
      try checkDivisible(weight)
      editor.replace(
        [weight.name], with: packedTensors(module, weight), module: module,
        action: "\(options.method.rawValue), \(options.bits) bits, groups of \(options.groupSize)")
      editor.update {
        $0.quantization[module] = QuantizationParameters(bits: options.bits, groupSize: options.groupSize)
      }
      largest = max(largest, weight.elementCount)
    }
    return editor.plan(memory: largest * 4 + (try windowMemory(of: input)))
  }

  package func run(
    _ input: Checkpoint, into writer: any CheckpointWriter, _ context: PassContext
  ) throws -> JSONValue {
    let plan = try plan(input)
    let importanceOutput = try options.importanceOutput.map {
      try OutputWorkspace(
        target: $0.resolved, force: context.mayReplace,
        inputs: [input.path, context.original.path] + options.texts.map(\.resolved))
    }
    let importance = try options.importance.map {
      try ImportanceFile(contentsOf: $0.resolved, modules: plan.changes.map(\.name), of: input)
    }
    let layerwise = options.hasWindows ? try quantizeLayerwise(input, context) : nil
    let known = try layerwise?.store.modules() ?? [:]
    var pending: [String: TensorBytes] = [:]
    var summary = layerwise?.summary ?? QuantizationSummary()
    try writeTensors(of: plan.contents, from: input, into: writer) { tensor in
      if let bytes = pending.removeValue(forKey: tensor.name) { return bytes }
      guard tensor.dtype == .u32, input.tensor(named: tensor.name)?.dtype != .u32 else { return nil }
      let module = String(tensor.name.dropLast(".weight".count))
      var packed = known[module]
      if packed == nil {
        let result = try quantizeAlone(module, in: input, importance: importance?.values[module])
        packed = result.module
        summary.add(result.packed, isOutOfReach: options.hasWindows)
        context.progress(
          Progress(
            phase: "quantize", completed: summary.modules, total: plan.changes.count, detail: module))
      }
      pending[module + ".scales"] = packed?.scales
      pending[module + ".biases"] = packed?.biases
      return packed?.codes
    }
    if let importanceOutput, let layerwise {
      try layerwise.importance.publish(in: importanceOutput)
    }
    return summary.report
  }

  /// The bytes that windows, and the moments of what linears read, take.
  private func windowMemory(of input: Checkpoint) throws -> Int {
    guard options.hasWindows else { return 0 }
    let c = try LlamaConfiguration(of: input)
    let tokens = options.samples * options.length
    // Five square matrices of doubles exist at once while the moments of the widest input are factored.
    let order = max(c.hiddenSize, c.intermediateSize)
    return 4 * tokens * (c.hiddenSize + c.intermediateSize) + 5 * 8 * order * order
  }

  private var grid: QuantizationGrid {
    guard let tables = FloatFormat(options.tables) else {
      preconditionFailure("a dtype that is no float was not refused")
    }
    return QuantizationGrid(bits: options.bits, groupSize: options.groupSize, tables: tables)
  }

  /// Quantizes the linears of the layers by what they read when windows go through them.
  private func quantizeLayerwise(
    _ input: Checkpoint, _ context: PassContext
  ) throws -> (store: PackedTensorStore, summary: QuantizationSummary, importance: ImportanceFile) {
    let windows = try CalibrationWindows(
      options.windowSource, input: input, original: context.original, workPath: context.workPath,
      progress: context.progress)
    var run = try LayerwiseQuantization(
      options, grid: grid, modules: try selectedModules(of: input), input: input, tokens: windows.tokens,
      progress: context.progress)
    let path = context.workPath("quantized.packed")
    var store = PackedTensorStore(path: path, tables: grid.tables)
    var summary = QuantizationSummary()
    var file = try OutputFile(creating: path)
    try run.run { name, packed in
      summary.add(packed)
      try store.add(name, packed, to: &file)
    }
    summary.outputError = run.error.relative
    if options.method == .gptq { summary.damping = run.damping }
    return (store, summary, try ImportanceFile(run.importance, of: windows.tokens, options.windowSource))
  }

  private func selectedModules(of input: Checkpoint) throws -> [String] {
    let modules = ModuleDescription.denseMatrices(of: input.contents)
    return try ModuleSelection(targets: options.targets, ignore: options.ignore).select(from: modules)
  }

  private func denseWeight(of module: String, in input: Checkpoint) throws -> TensorInfo {
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

  private func checkDivisible(_ weight: TensorInfo) throws {
    let columns = weight.shape[1]
    guard columns % options.groupSize != 0 else { return }
    throw PassError.divisibility(
      tensor: weight.name, columns: columns, groupSize: options.groupSize,
      fitting: [128, 64, 32].filter { columns % $0 == 0 })
  }

  private func packedTensors(_ module: String, _ weight: TensorInfo) -> [TensorInfo] {
    let (rows, columns) = (weight.shape[0], weight.shape[1])
    let table = [rows, columns / options.groupSize]
    return [
      TensorInfo(name: module + ".weight", dtype: .u32, shape: [rows, columns * options.bits / 32]),
      TensorInfo(name: module + ".scales", dtype: options.tables, shape: table),
      TensorInfo(name: module + ".biases", dtype: options.tables, shape: table),
    ]
  }

  /// Codes and tables of a module by its weight alone.
  private func quantizeAlone(
    _ module: String, in input: Checkpoint, importance: [Float]?
  ) throws -> (module: PackedTensorStore.Module, packed: PackedTensor) {
    let tensor = try denseWeight(of: module, in: input)
    guard let format = FloatFormat(tensor.dtype) else {
      preconditionFailure("a dtype that is no float was not refused")
    }
    let weight = Weight(
      rows: tensor.shape[0], columns: tensor.shape[1],
      values: .dense(try input.bytes(of: tensor.name), format))
    let quantizer: any RowQuantizer =
      options.method == .rtn ? RoundToNearest(grid: grid) : ClipSearch(grid: grid, importance: importance)
    let packed = try quantizer.quantize(weight, name: tensor.name)
    let stored = PackedTensorStore.Module(
      codes: TensorBytes(packed.codes), scales: TensorBytes(narrowed(packed.scales, to: grid.tables)),
      biases: TensorBytes(narrowed(packed.biases, to: grid.tables)))
    return (stored, packed.withoutValues)
  }
}

/// What is reported of a quantization.
struct QuantizationSummary {
  private(set) var modules = 0
  private var weights = 0
  private var squaredError = 0.0
  private var squaredNorm = 0.0
  /// How far the outputs of linears are from the originals', where inputs are known.
  var outputError: Double?
  /// The largest damping that a factorization took.
  var damping: Double?
  /// Modules that the text does not reach.
  private var modulesWithoutStatistics = 0

  /// Adds a module's weights and their error.
  mutating func add(_ packed: PackedTensor, isOutOfReach: Bool = false) {
    modules += 1
    modulesWithoutStatistics += isOutOfReach ? 1 : 0
    weights += packed.weightCount
    squaredError += packed.squaredError
    squaredNorm += packed.squaredNorm
  }

  var report: JSONValue {
    var members = [
      JSONValue.Member("modules", .integer(modules)), JSONValue.Member("weights", .integer(weights)),
      JSONValue.Member(
        "relative_error", .double((squaredError / max(squaredNorm, .leastNormalMagnitude)).squareRoot())),
    ]
    if let outputError { members.append(JSONValue.Member("relative_output_error", .double(outputError))) }
    if let damping { members.append(JSONValue.Member("damping", .double(damping))) }
    if modulesWithoutStatistics > 0 {
      members.append(JSONValue.Member("modules_without_statistics", .integer(modulesWithoutStatistics)))
    }
    return .object(members)
  }
}
