package import Checkpoints
import Kernels
import Models

/// Replaces the weights of linears by packed codes with tables, on all cores: one tensor at a time, or with windows layer
/// after layer.
package struct QuantizePass: Pass {
  let options: QuantizeOptions
  /// The width of each module that gets one from a budget, once that is known.
  private let widths: [String: Int]

  package init(_ options: QuantizeOptions) { self.init(options, widths: [:]) }

  init(_ options: QuantizeOptions, widths: [String: Int]) {
    self.options = options
    self.widths = widths
  }

  package var name: String { "quantize" }

  package func plan(_ input: Checkpoint) throws -> PassPlan {
    var editor = ContentsEditor(input.contents)
    var largest = 0
    let modules = try selectedParameters(of: input)
    if let budget = options.bitsPerWeight { _ = try bitsForCodes(budget, modules, in: input) }
    for stated in modules {
      let (module, parameters) = (stated.module, resolved(stated))
      let weight = try QuantizableWeight(module, in: input)
      try checkDivisible(weight, by: parameters.groupSize)
      largest = max(largest, weight.elementCount)
      guard options.method != .nf2 else {
        let action =
          "nf2, groups of \(parameters.groupSize), written dense as \(weight.stored[0].dtype.rawValue)"
        editor.replace([weight.name], with: weight.stored, module: module, action: action)
        continue
      }
      editor.replace(
        weight.stored.map(\.name), with: packedTensors(weight, parameters), module: module,
        action: "\(options.method.rawValue), \(widthPhrase(stated)) bits, groups of \(parameters.groupSize)")
      editor.update { $0.quantization[module] = parameters }
    }
    return editor.plan(memory: largest * 4 + (try windowMemory(of: input)))
  }

  package func run(
    _ input: Checkpoint, into writer: any CheckpointWriter, _ context: PassContext
  ) throws -> JSONValue {
    guard options.method != .nf2 else { return try runNormalFloat(input, into: writer, context) }
    let plan = try plan(input)
    let grids = Dictionary(
      try selectedParameters(of: input).map { ($0.module, grid(resolved($0))) },
      uniquingKeysWith: { first, _ in first })
    let importanceOutput = try options.importanceOutput.map {
      try OutputWorkspace(
        target: $0.resolved, force: context.mayReplace,
        inputs: [input.path, context.original.path] + options.texts.map(\.resolved))
    }
    let importance = try options.importance.map {
      try ImportanceFile(contentsOf: $0.resolved, modules: plan.changes.map(\.name), of: input)
    }
    let layerwise = options.hasWindows ? try quantizeLayerwise(input, grids, context) : nil
    let known = try layerwise?.store.modules() ?? [:]
    var pending: [String: TensorBytes] = [:]
    var summary = layerwise?.summary ?? QuantizationSummary()
    summary.moduleCounts = Dictionary(grouping: grids.values, by: \.bits).mapValues(\.count)
    try writeTensors(of: plan.contents, from: input, into: writer) { tensor in
      if let bytes = pending.removeValue(forKey: tensor.name) { return bytes }
      guard let module = ModuleTensor.weight.module(of: tensor.name), let grid = grids[module] else {
        return nil
      }
      var packed = known[module]
      if packed == nil {
        let quantizer = quantizer(grid, importance: importance?.values[module])
        let result = try quantizeAlone(module, in: input, quantizer)
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
    // A token has its residual stream and what attention gives, and where sensitivity is measured the stream before a part.
    // Five square matrices of doubles exist at once while the moments of the widest input are factored, and two more
    // with propagation, for which there are also the windows in the original model.
    let order = max(c.hiddenSize, c.intermediateSize)
    let hasOriginal = options.propagation > 0 || options.layerEpochs > 0
    let (copies, matrices) = hasOriginal ? (2, 7) : (1, 5)
    let width =
      copies * (c.hiddenSize + c.headCount * c.headSize) + (options.bitsPerWeight == nil ? 0 : c.hiddenSize)
    // A layer that is trained needs the stream before it too, and its weights with gradients and moments.
    let trained = options.layerEpochs > 0 ? 4 * tokens * c.hiddenSize + 4 * 8 * c.layerWeightCount : 0
    return 4 * tokens * width + matrices * 8 * order * order + trained
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
  private func resolved(_ stated: QuantizeOptions.ModuleParameters) -> QuantizationParameters {
    guard options.bitsPerWeight != nil, !stated.hasOwnBits else { return stated.parameters }
    return .affine(
      bits: widths[stated.module] ?? BitAllocation.widths[0], groupSize: stated.parameters.groupSize)
  }

  private func widthPhrase(_ stated: QuantizeOptions.ModuleParameters) -> String {
    let isOpen = options.bitsPerWeight != nil && !stated.hasOwnBits && widths.isEmpty
    return isOpen ? BitAllocation.widths.alternatives() : "\(resolved(stated).bits)"
  }

  /// The windows that go through the model.
  func windows(for input: Checkpoint, _ context: PassContext) throws -> [[Int32]] {
    try CalibrationWindows(
      options.windowSource, input: input, original: context.original, work: context.work,
      progress: context.progress
    ).tokens
  }

  /// Quantizes the linears of the layers by what they read when windows go through them.
  private func quantizeLayerwise(
    _ input: Checkpoint, _ grids: [String: QuantizationGrid], _ context: PassContext
  ) throws -> (store: PackedTensorStore, summary: QuantizationSummary, importance: ImportanceFile) {
    let tokens = try windows(for: input, context)
    var run = try LayerwiseQuantization(
      options, grids: grids, input: input, tokens: tokens, progress: context.progress)
    let path = context.work.path("quantized.packed")
    var store = PackedTensorStore(path: path, tables: tables)
    var summary = QuantizationSummary()
    var file = try OutputFile(creating: path)
    try run.run { name, packed in
      summary.add(packed)
      try store.add(name, packed, to: &file)
    }
    if options.layerEpochs == 0 { summary.outputError = run.error.relative }
    if options.method == .gptq { summary.damping = run.damping }
    summary.layerLosses = run.trainingLosses
    if options.products != .f32 { summary.products = options.products.onThisProcessor }
    return (store, summary, try ImportanceFile(run.importance, of: tokens, options.windowSource))
  }

  /// The selected modules and what each becomes; those that are packed with as many bits or fewer stay as they are.
  ///
  /// - Throws: `PassError` when a pattern has no match or nothing is left.
  func selectedParameters(of input: Checkpoint) throws -> [QuantizeOptions.ModuleParameters] {
    let modules =
      options.method == .nf2
      ? ModuleDescription.denseMatrices(of: input.contents)
      : ModuleDescription.quantizableMatrices(of: input.contents, bits: leastBits)
    let names = try ModuleSelection(targets: options.targets, ignore: options.ignore).select(from: modules)
    let selected = try options.parameters(of: names).filter { stated in
      input.contents.quantization[stated.module].map { $0.bits > resolved(stated).bits } ?? true
    }
    guard !selected.isEmpty else { throw PassError.emptySelection }
    return selected
  }

  /// The fewest bits that any module may get.
  private var leastBits: Int {
    let stated = options.overrides.compactMap(\.bits)
    return (stated + [options.bitsPerWeight == nil ? options.bits : BitAllocation.widths[0]]).min() ?? 0
  }

  private func checkDivisible(_ weight: QuantizableWeight, by groupSize: Int) throws {
    let columns = weight.columnCount
    guard columns % groupSize != 0 else { return }
    throw PassError.divisibility(
      tensor: weight.name, columns: columns, groupSize: groupSize,
      fitting: [128, 64, 32].filter { columns % $0 == 0 })
  }

  private func packedTensors(
    _ weight: QuantizableWeight, _ layout: QuantizedLayout
  ) -> [TensorInfo] {
    layout.tensors(
      of: weight.module, rows: weight.rowCount, columns: weight.columnCount, tables: options.tables)
  }

  /// Codes and tables of a module by its weight alone.
  func quantizeAlone(
    _ module: String, in input: Checkpoint, _ quantizer: any RowQuantizer
  ) throws -> (module: PackedTensorStore.Module, packed: PackedTensor) {
    let matrix = try QuantizableWeight(module, in: input)
    let packed = try quantizer.quantize(try matrix.weight(in: input), name: matrix.name)
    let stored = PackedTensorStore.Module(
      codes: TensorBytes(packed.codes), scales: TensorBytes(narrowed(packed.scales, to: tables)),
      biases: TensorBytes(narrowed(packed.biases, to: tables)))
    return (stored, packed.withoutValues)
  }
}

extension QuantizePass {
  /// What quantizes a weight of which nothing else is known.
  private func quantizer(_ grid: QuantizationGrid, importance: [Float]?) -> any RowQuantizer {
    switch options.method {
    case .rtn: RoundToNearest(grid: grid)
    case .hqq: HalfQuadratic(grid: grid)
    case .search, .gptq: ClipSearch(grid: grid, importance: importance)
    case .nf2: preconditionFailure("packs nothing")
    }
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
  /// The losses of the layers that were trained.
  var layerLosses: [LayerTraining.Losses] = []
  /// What operands were really rounded to, where that was asked for.
  var products: ProductOperands?
  /// Modules that the text does not reach.
  private var modulesWithoutStatistics = 0
  /// The modules with each width.
  var moduleCounts: [Int: Int] = [:]

  /// Adds a module's weights and their error.
  mutating func add(_ packed: PackedTensor, isOutOfReach: Bool = false) {
    add(
      weights: packed.weightCount, squaredError: packed.squaredError, squaredNorm: packed.squaredNorm)
    modulesWithoutStatistics += isOutOfReach ? 1 : 0
  }

  /// Adds a module's weights and their error.
  mutating func add(weights: Int, squaredError: Double, squaredNorm: Double) {
    modules += 1
    self.weights += weights
    self.squaredError += squaredError
    self.squaredNorm += squaredNorm
  }

  var report: JSONValue {
    var members = [
      JSONValue.Member("modules", .integer(modules)), JSONValue.Member("weights", .integer(weights)),
      JSONValue.Member(
        "relative_error", .double((squaredError / max(squaredNorm, .leastNormalMagnitude)).squareRoot())),
    ]
    if let outputError { members.append(JSONValue.Member("relative_output_error", .double(outputError))) }
    if let damping { members.append(JSONValue.Member("damping", .double(damping))) }
    if !layerLosses.isEmpty {
      let count = Double(layerLosses.count)
      members += [
        JSONValue.Member("layer_loss_before", .double(layerLosses.reduce(0) { $0 + $1.before } / count)),
        JSONValue.Member("layer_loss_after", .double(layerLosses.reduce(0) { $0 + $1.after } / count)),
      ]
    }
    if let products { members.append(JSONValue.Member("products", .string(products.rawValue))) }
    if modulesWithoutStatistics > 0 {
      members.append(JSONValue.Member("modules_without_statistics", .integer(modulesWithoutStatistics)))
    }
    if moduleCounts.count > 1 {
      members += moduleCounts.sorted { $0.key < $1.key }.map { bits, count in
        JSONValue.Member("modules_of_\(bits)_bits", .integer(count))
      }
    }
    return .object(members)
  }
}
