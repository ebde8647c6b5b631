import Checkpoints
import Kernels
import Models

/// Makes adapters that change nothing before calibration.
struct NewAdapterRun: PassRun {
  private let options: AttachOptions
  private var modules = 0
  private var parameters = 0

  init(_ options: AttachOptions) { self.options = options }

  mutating func make(_ replacement: PassPlan.Replacement) throws -> [TensorBytes] {
    modules += 1
    parameters += replacement.outputs.reduce(0) { $0 + $1.elementCount }
    return replacement.outputs.map(options.initialFactor)
  }

  mutating func finish() throws -> any PassReport {
    AttachmentReport(modules: modules, parameters: parameters, errors: [])
  }
}

/// Makes adapters that compensate the quantization error, with the codes and tables found together with them.
struct CompensationRun: PassRun {
  private let options: AttachOptions
  private let input: Checkpoint
  private var found: [String: TensorBytes] = [:]
  private var errors: [ReportItem] = []
  private var modules = 0
  private var parameters = 0

  /// Computes all adapters.
  init(
    _ options: AttachOptions, _ modules: [String], _ input: Checkpoint, _ context: PassContext
  ) throws {
    self.options = options
    self.input = input
    if let module = modules.first(where: { input.contents.quantization[$0] == nil }) {
      throw PassError.usage(
        "module '\(module)': the initialization '\(options.initialization.rawValue)' needs a quantized weight"
      )
    }
    let path = context.work.path("compensation.tensors")
    var places: [(name: String, range: Range<Int>)] = []
    var file = try OutputFile(creating: path)
    let models = try CompensatedModels(options, input: input, context)
    errors = try find(modules, models, context.progress) { linear in
      for (part, bytes) in try changedTensors(of: linear, models) {
        let start = file.byteCount
        try bytes.withSpan { try file.append($0) }
        places.append((part.name(of: linear.name), start..<file.byteCount))
      }
    }
    let mapped = try MappedFile(path: path)
    let tensors = places.map { ($0.name, TensorBytes(mapped, range: $0.range)) }
    found = Dictionary(tensors, uniquingKeysWith: { first, _ in first })
  }

  mutating func make(_ replacement: PassPlan.Replacement) throws -> [TensorBytes] {
    modules += 1
    let rewritten = Set(replacement.sources.map(\.name))
    for tensor in replacement.outputs where !rewritten.contains(tensor.name) {
      parameters += tensor.elementCount
    }
    return try replacement.outputs.map { tensor in
      if let bytes = found[tensor.name] { return bytes }
      // The model does not compute with this module as a linear.
      return try rewritten.contains(tensor.name)
        ? input.bytes(of: tensor.name) : options.initialFactor(tensor)
    }
  }

  mutating func finish() throws -> any PassReport {
    AttachmentReport(modules: modules, parameters: parameters, errors: errors)
  }

  /// Returns the changed tensors of a compensated linear in their stored format.
  private func changedTensors(
    of linear: Linear, _ models: CompensatedModels
  ) throws -> [(part: ModuleTensor, bytes: TensorBytes)] {
    guard let adapter = linear.adapter else { return [] }
    var tensors: [(part: ModuleTensor, bytes: TensorBytes)] = [
      (.loraA, TensorBytes(narrowed(adapter.loraA.values, to: .f32))),
      (.loraB, TensorBytes(narrowed(adapter.loraB.values, to: .f32))),
    ]
    if options.roundsAgain, let packed = linear.weight.packed {
      let formats = try models.tableFormats(of: linear.name)
      tensors += [
        (.weight, packed.codes),
        (.scales, TensorBytes(narrowed(packed.scales, to: formats.scales))),
        (.biases, TensorBytes(narrowed(packed.biases, to: formats.biases))),
      ]
    }
    return tensors
  }

  private func find(
    _ modules: [String], _ models: CompensatedModels, _ progress: @escaping ProgressHandler,
    _ keep: (Linear) throws -> Void
  ) throws -> [ReportItem] {
    if options.initialization == .atc {
      var run = try AlignThenCorrect(options, modules: modules, models, progress: progress)
      try run.run(keep)
      return run.report
    }
    var run = try ErrorCompensation(options, modules: modules, models, progress: progress)
    try run.run(keep)
    return run.report
  }
}
