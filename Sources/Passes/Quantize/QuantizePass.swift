public import Checkpoints
import Kernels
import Models

/// Replaces the weights of linears by packed codes with tables in parallel: tensor by tensor, or layer by
/// layer if there are windows.
public struct QuantizePass: Pass, WindowRequestingPass {
  /// The name in recipes.
  public static let name = "quantize"
  /// The summary for help.
  public static let summary = "Round the weights of linears to a few bits."
  /// The options of the pass.
  public var options: QuantizeOptions

  /// Takes options.
  public init(_ options: QuantizeOptions) { self.options = options }

  /// Selects the modules and their bits; a budget of bits is distributed just before the pass begins.
  public func plan(_ input: Checkpoint) throws -> PassPlan {
    var plan = try plan(input, layouts: nil)
    if let budget = options.budget, options.hasWindows {
      plan.refine = { input, context in
        try self.plan(input, layouts: try self.layouts(within: budget, for: input, context))
      }
    }
    return plan
  }

  /// Plans with the layouts from a budget; nil while they are not known.
  private func plan(_ input: Checkpoint, layouts: [String: QuantizedLayout]?) throws -> PassPlan {
    let given = input
    let input = try source(given)
    var editor = PlanEditor(input)
    var largest = 0
    var grids: [String: QuantizationGrid] = [:]
    let modules = try selectedParameters(of: input)
    if let budget = options.budget { _ = try bitsToDistribute(budget, modules, in: input) }
    for stated in modules {
      let module = stated.module
      let weight = try QuantizableWeight(module, in: input)
      let parameters = fitting(resolved(stated, layouts ?? [:]), columns: weight.columnCount)
      try checkFit(weight, parameters)
      largest = max(largest, weight.elementCount)
      grids[module] = grid(parameters)
      guard options.method != .nf2 else {
        let action =
          "nf2, groups of \(parameters.groupSize), written dense as \(weight.stored[0].dtype.rawValue)"
        editor.replace([weight.name], with: weight.stored, module: module, action: action)
        continue
      }
      let isOpen = options.budget != nil && !stated.hasOwnBits && layouts == nil
      editor.replace(
        weight.stored.map(\.name), with: packedTensors(weight, parameters), module: module,
        action: "\(options.method.rawValue), "
          + (isOpen ? Self.phrase(ladder(stated)) : parameters.description))
      editor.update { $0.quantization[module] = parameters }
    }
    let memory = MemoryEstimate(largest) * 4 + (try windowMemory(of: input))
    var plan = editor.plan(memory: memory.byteCount) { [grids] input, context in
      try begin(grids, input, context)
    }
    plan.separatesExperts = input.contents.tensors != given.contents.tensors
    plan.work = try work(on: modules.map(\.module), of: input)
    return plan
  }

  /// Layouts to choose from, as a phrase.
  private static func phrase(_ ladder: [QuantizedLayout]) -> String {
    guard ladder[0].superBlock == nil else {
      return ladder.compactMap { $0.superBlock?.rawValue }.alternatives()
    }
    return "\(ladder.map(\.bits).alternatives()) bits, groups of \(ladder[0].groupSize)"
  }

  /// The checkpoint that the pass reads: with the linears of experts apart if any of them is selected.
  ///
  /// - Throws: `PassError` when a pattern has no match or no module is left.
  func source(_ input: Checkpoint) throws -> Checkpoint {
    let separate = try input.separatingExperts()
    guard separate.contents.tensors != input.contents.tensors else { return input }
    let needsApart = try selectedParameters(of: separate).contains {
      input.tensor(named: ModuleTensor.weight.name(of: $0.module)) == nil
    }
    return needsApart ? separate : input
  }

  private func begin(
    _ grids: [String: QuantizationGrid], _ input: Checkpoint, _ context: PassContext
  ) throws -> any PassRun {
    guard options.method == .nf2 else { return try QuantizeRun(self, grids, input, context) }
    return NormalFloatRun(groupSizes: grids.mapValues(\.groupSize), input: input, context: context)
  }

  /// Reads the texts once to check that they have enough windows.
  public func checkTexts(for input: Checkpoint, _ access: FileAccess) throws {
    guard options.hasWindows else { return }
    try CalibrationWindows.requireTexts(options.windowSource, for: input)
  }

  /// Estimates the memory of the windows and of the inputs' moments.
  private func windowMemory(of input: Checkpoint) throws -> MemoryEstimate {
    guard options.hasWindows else { return 0 }
    let sizes = try ModelSizes(of: input)
    let tokens = MemoryEstimate(options.samples) * MemoryEstimate(options.length)
    // A token takes its residual stream, the output of attention and, for sensitivity, the stream before a
    // part.
    let hasOriginal = options.propagation > 0 || options.layerEpochs > 0
    let width =
      (hasOriginal ? 2 : 1) * (sizes.hidden + sizes.queries)
      + (options.budget == nil ? 0 : sizes.hidden)
    // Of the widest input's moments exist at once: the triangle of doubles that is summed or factored, the
    // whole in floats, and a part of the factor in floats. Propagation adds the cross moments in doubles,
    // and the correction in floats.
    let bytesPerMoment: MemoryEstimate = options.propagation > 0 ? 22 : 10
    let moments = bytesPerMoment * sizes.order * sizes.order
    // Training a layer also takes the stream before it, and its weights with gradients and moments.
    let trained = options.layerEpochs > 0 ? 4 * tokens * sizes.hidden + 4 * 8 * sizes.layerWeights : 0
    let windows = 4 * tokens * width + (hasOriginal ? 2 : 1) * LayerWalk.keptMemory(tokens, sizes)
    return windows + moments + rowMemory(sizes) + trained
  }

  /// Estimates the memory of the rows that all threads work on: several copies of the rows and, for a refit,
  /// two numbers for each pair of groups.
  private func rowMemory(_ sizes: ModelSizes) -> MemoryEstimate {
    let groupSize = options.overrides.compactMap(\.groupSize).reduce(options.groupSize, min)
    let groups = MemoryEstimate(sizes.order.byteCount / groupSize)
    let pairs = options.refit ? 2 * groups * groups : 0
    return MemoryEstimate(ThreadLimit.current * QuantizationGrid.rowsPerChunk) * 4 * (8 * sizes.order + pairs)
  }

  /// The dtype of free tables; half precision beside super-blocks, as their factors have.
  private var tableType: DType { options.grid.superBlock == nil ? options.tables : .f16 }

  /// The format of free tables.
  var tables: FloatFormat {
    guard let tables = FloatFormat(tableType) else {
      preconditionFailure("a dtype that is no float was not refused")
    }
    return tables
  }

  func grid(_ parameters: QuantizedLayout) -> QuantizationGrid {
    QuantizationGrid(parameters, tables: tables)
  }

  /// Returns the layout of a module; the smallest one if a budget is not distributed yet.
  private func resolved(
    _ stated: QuantizeOptions.ModuleParameters, _ layouts: [String: QuantizedLayout]
  ) -> QuantizedLayout {
    guard options.budget != nil, !stated.hasOwnBits else { return stated.parameters }
    return layouts[stated.module] ?? ladder(stated)[0]
  }

  var windowSource: WindowSource? { options.hasWindows ? options.windowSource : nil }

  /// Returns the windows that run through the model.
  func windows(for input: Checkpoint, _ context: PassContext) throws -> [[Int32]] {
    try CalibrationWindows(
      options.windowSource, input: input, original: context.original, work: context.work,
      later: context.laterWindows, group: context.group, progress: context.progress
    ).tokens
  }

  /// Returns the selected modules with their bits and group sizes.
  ///
  /// Modules packed with as many bits or fewer are left out.
  ///
  /// - Throws: `PassError` when a pattern has no match or no module is left.
  func selectedParameters(of input: Checkpoint) throws -> [QuantizeOptions.ModuleParameters] {
    let modules =
      options.method == .nf2
      ? ModuleDescription.denseMatrices(of: input)
      : ModuleDescription.quantizableMatrices(of: input, bits: leastBits)
    let outer = try outerModules(of: input)
    let selection = ModuleSelection(targets: options.targets, ignore: options.ignore)
    // Of all modules the patterns may select some, which are packed.
    let reason = {
      let all = try? selection.select(from: ModuleDescription.matrices(of: input), adding: outer)
      return all == nil ? PassError.emptySelection : .alreadyPacked
    }
    let names = try selection.select(from: modules, adding: outer, orThrow: reason())
    let selected = try options.parameters(of: names, outer: outer).filter { stated in
      input.contents.quantization[stated.module].map { $0.bits > resolved(stated, [:]).bits } ?? true
    }
    guard !selected.isEmpty else { throw reason() }
    return selected
  }

  /// The embedding and the output head if `embedding_bits` is given or a budget is for the whole checkpoint.
  ///
  /// - Throws: `FormatError` when the architecture is not known.
  func outerModules(of input: Checkpoint) throws -> Set<String> {
    guard options.embeddingBits != nil || options.budget?.isOfCheckpoint == true else { return [] }
    let layout = try ModelLayout(of: input)
    // A head that is a copy of the embedding remains one.
    let hasHead = input.tensor(named: layout.head.name) != nil
    return Set([layout.embedding.module] + (hasHead ? [layout.head.module] : []))
  }

  /// The lowest number of bits that any module can get.
  private var leastBits: Int {
    let stated = options.overrides.compactMap(\.bits) + (options.embeddingBits.map { [$0] } ?? [])
    let open = options.budget == nil && options.grid == .affine ? options.bits : 2
    return (stated + [open]).min() ?? 0
  }

  /// Returns the layout of a module with some columns: the given one, or the fallback of super-blocks.
  func fitting(_ layout: QuantizedLayout, columns: Int) -> QuantizedLayout {
    guard layout.superBlock != nil, columns % layout.blockColumnCount != 0, let bits = options.fallbackBits
    else { return layout }
    return QuantizedLayout(bits: bits, groupSize: Self.fallbackGroupSize)
  }

  private static let fallbackGroupSize = 32

  private func checkFit(_ weight: QuantizableWeight, _ layout: QuantizedLayout) throws {
    let (columns, size) = (weight.columnCount, layout.blockColumnCount)
    guard columns % size != 0 else { return }
    throw PassError.divisibility(
      tensor: weight.name, columns: columns, groupSize: size, grid: layout.superBlock?.rawValue,
      fitting: [128, 64, 32].filter { columns % $0 == 0 })
  }

  func packedTensors(
    _ weight: QuantizableWeight, _ layout: QuantizedLayout
  ) -> [TensorInfo] {
    layout.tensors(
      of: weight.module, rows: weight.rowCount, columns: weight.columnCount, tables: tableType)
  }

  /// Quantizes a module from its weight alone.
  func quantizeAlone(
    _ module: String, in input: Checkpoint, _ quantizer: any RowQuantizer
  ) throws -> (tensors: [TensorBytes], packed: PackedTensor) {
    let matrix = try QuantizableWeight(module, in: input)
    let packed = try quantizer.quantize(try matrix.weight(in: input), name: matrix.name)
    return (packed.stored(tables).map { TensorBytes($0) }, packed.withoutValues)
  }
}

extension PassOptions {
  /// Creates the step of a recipe.
  public static func quantize(_ options: QuantizeOptions) -> PassOptions {
    PassOptions(QuantizePass(options))
  }
}
