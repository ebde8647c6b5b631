import Checkpoints
import Kernels
import Models

/// Makes the packed tensors of a quantization.
///
/// With windows they are made at the beginning, layer after layer; otherwise each is made when it is written.
struct QuantizeRun: PassRun {
  private let pass: QuantizePass
  private let grids: [String: QuantizationGrid]
  private let input: Checkpoint
  private let context: PassContext
  /// The modules quantized with the windows; the others are not reached by the text.
  private let known: [String: [TensorBytes]]
  private let importance: ImportanceFile?
  /// The importance of inputs to write, and its destination.
  private var importanceOutput: (file: ImportanceOutput, place: OutputWorkspace)?
  private var summary: QuantizationSummary

  /// Begins the work; with windows this is most of the work.
  init(
    _ pass: QuantizePass, _ grids: [String: QuantizationGrid], _ input: Checkpoint, _ context: PassContext
  ) throws {
    self.pass = pass
    self.grids = grids
    self.input = input
    self.context = context
    let options = pass.options
    let place = try (context.group.isFirst ? options.importanceOutput : nil).map {
      try OutputWorkspace(
        target: $0.resolved, force: context.mayReplace,
        inputs: [input.path, context.original.path] + options.texts.map(\.resolved))
    }
    importance = try options.importance.map {
      // Files measured on the layers alone have nothing for the embedding and the head.
      let layers = try Set(grids.keys).subtracting(pass.outerModules(of: input))
      return try ImportanceFile(
        contentsOf: $0.resolved, modules: layers.sorted(by: precedes), of: input)
    }
    var summary = QuantizationSummary()
    summary.unquantized = UnquantizedModule.all(in: input).filter { grids[$0.name] == nil }
    if options.hasWindows {
      let (store, file) = try Self.quantizeLayerwise(pass, grids, input, context, &summary)
      known = try store.modules()
      importanceOutput = place.map { (file, $0) }
    } else {
      known = [:]
    }
    if let superBlock = pass.options.grid.superBlock {
      summary.otherGrids = grids.filter { $0.value.layout != .superBlock(superBlock) }.mapValues(\.layout)
    }
    summary.moduleCounts = Dictionary(grouping: grids.values, by: \.layout.bits).mapValues(\.count)
    self.summary = summary
  }

  /// Quantizes the linears of the layers by the inputs that the windows produce.
  private static func quantizeLayerwise(
    _ pass: QuantizePass, _ grids: [String: QuantizationGrid], _ input: Checkpoint, _ context: PassContext,
    _ summary: inout QuantizationSummary
  ) throws -> (PackedTensorStore, ImportanceOutput) {
    let options = pass.options
    let tokens = try pass.windows(for: input, context)
    var run = try LayerwiseQuantization(
      options, grids: grids, input: input, tokens: tokens, group: context.group, progress: context.progress)
    let path = context.work.path("quantized.packed")
    var store = PackedTensorStore(path: path, tables: pass.tables)
    var file = try OutputFile(creating: path)
    try run.run { name, packed in
      summary.add(name, packed)
      try store.add(name, packed, to: &file)
    }
    if options.layerEpochs == 0, run.error.isMeasured { summary.outputError = run.error.relative }
    summary.outputErrors = run.outputErrors
    if options.method == .gptq { summary.damping = run.damping }
    summary.trainedLayers = run.trainedLayers
    summary.scarceTokens = run.scarceTokens
    if options.products != .f32 { summary.products = options.products.onThisProcessor }
    return (store, ImportanceOutput(run.importance, of: tokens, options.windowSource))
  }

  mutating func make(_ replacement: PassPlan.Replacement) throws -> [TensorBytes] {
    if let packed = known[replacement.module] { return packed }
    guard let grid = grids[replacement.module] else {
      preconditionFailure("module '\(replacement.module)' was not planned")
    }
    let values = importance?.values[replacement.module]
    let quantizer = pass.options.method.quantizer(withoutMoments: grid, importance: values)
    let result = try pass.quantizeAlone(replacement.module, in: input, quantizer)
    summary.add(replacement.module, result.packed, isOutOfReach: pass.options.hasWindows)
    context.progress(
      Progress(
        phase: "quantize", completed: summary.modules, total: grids.count, detail: replacement.module))
    return result.tensors
  }

  mutating func finish() throws -> any PassReport {
    if let output = importanceOutput { try output.file.publish(in: output.place, for: input) }
    return summary.report
  }

}

extension QuantizeMethod {
  /// Returns the quantizer of a weight whose inputs' moments are unknown.
  func quantizer(withoutMoments grid: QuantizationGrid) -> any RowQuantizer {
    quantizer(withoutMoments: grid, importance: nil)
  }

  /// Returns the quantizer of a weight of whose inputs at most the importance is known.
  func quantizer(withoutMoments grid: QuantizationGrid, importance: [Float]?) -> any RowQuantizer {
    switch self {
    case .rtn: RoundToNearest(grid: grid)
    case .hqq: HalfQuadratic(grid: grid)
    case .search, .gptq: ClipSearch(grid: grid, importance: importance)
    case .nf2: preconditionFailure("packs nothing")
    }
  }
}
