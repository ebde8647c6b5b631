package import Checkpoints
import Kernels
import Models

/// Puts new adapters beside linears: A random and B zero, which changes nothing yet, or what compensates the error of the
/// quantized weights best.
package struct AttachPass: Pass {
  private let options: AttachOptions

  /// Takes options that name no adapter; those that do are for `PeftAttachPass`.
  package init(_ options: AttachOptions) { self.options = options }

  package var name: String { "attach" }

  package func plan(_ input: Checkpoint) throws -> PassPlan {
    guard input.contents.adapter == nil else {
      throw PassError.usage("\(input.path): has an adapter already; merge it before attaching another")
    }
    var editor = ContentsEditor(input.contents)
    let candidates = ModuleDescription.matrices(of: input.contents)
    let modules = try ModuleSelection(targets: options.targets, ignore: options.ignore).select(
      from: candidates)
    try Self.checkTrainable(modules, among: candidates)
    for module in modules {
      let tensors = try adapterTensors(module, in: input)
      if options.roundsAgain { try checkRoundable(module, in: input) }
      editor.add(
        tensors, behind: Self.lastTensor(of: module, in: input.contents), module: module,
        action: "\(options.kind.rawValue) adapter, rank \(options.rank)" + initialization)
    }
    editor.update {
      $0.adapter = AdapterParameters(kind: options.kind, rank: options.rank, alpha: options.alpha)
    }
    return editor.plan(memory: try memory(of: input))
  }

  private var initialization: String {
    guard options.initialization != .zero else { return "" }
    let iterations =
      options.roundsAgain ? " of \(options.iterations) iterations, rounds the weight again" : ""
    return ", \(options.initialization.rawValue)" + iterations
  }

  /// Refuses a module whose tables have trained changes beside them: they are for the codes that go.
  private func checkRoundable(_ module: String, in input: Checkpoint) throws {
    for part in [ModuleTensor.scalesDelta, .biasesDelta]
    where input.tensor(named: part.name(of: module)) != nil {
      throw PassError.usage(
        "module '\(module)': rounding it again would lose the trained changes of its tables; merge them first"
      )
    }
  }

  /// The bytes that closed forms and the windows of a text take.
  private func memory(of input: Checkpoint) throws -> Int {
    guard options.initialization.usesTeacher else { return 0 }
    let c = try LlamaConfiguration(of: input)
    var tokens = options.initialization.usesText ? options.samples * options.length : 0
    // The error and its products, and the moments and their factors, in doubles.
    let order = max(c.hiddenSize, c.intermediateSize)
    var bytes = 8 * (5 * c.hiddenSize * c.intermediateSize + 5 * order * order)
    if options.initialization == .atc {
      // Both models' windows; the inputs of all layers for one of them, and the moments of all gradients of a layer.
      tokens *= 2
      bytes += 4 * options.length * c.hiddenSize * c.layerCount + 8 * 10 * order * order
    }
    return bytes + 4 * tokens * (c.hiddenSize + c.headCount * c.headSize)
  }

  /// Refuses modules that calibration would not train: an adapter that nothing trains does nothing.
  static func checkTrainable(_ modules: [String], among candidates: [ModuleDescription]) throws {
    let linears = Set(candidates.filter(\.isLayerLinear).map(\.name))
    guard let module = modules.first(where: { !linears.contains($0) }) else { return }
    throw PassError.usage("module '\(module)': adapters are attached to the linears of layers only")
  }

  package func requireTexts(for input: Checkpoint) throws {
    guard let source = options.windowSource else { return }
    try CalibrationWindows.requireTexts(source, for: input)
  }

  package func run(
    _ input: Checkpoint, into writer: any CheckpointWriter, _ context: PassContext
  ) throws -> JSONValue {
    let plan = try plan(input)
    let found =
      options.initialization.usesTeacher
      ? try compensate(plan.changes.map(\.name), of: input, context) : nil
    var parameterCount = 0
    try writeTensors(of: plan.contents, from: input, into: writer) { tensor in
      let isNew = input.tensor(named: tensor.name) == nil
      parameterCount += isNew ? tensor.elementCount : 0
      if let bytes = found?.tensors[tensor.name] { return bytes }
      guard isNew else { return nil }
      let values =
        tensor.name.hasSuffix(".lora_A.weight")
        ? initialA(tensor) : [Float](repeating: 0, count: tensor.elementCount)
      return TensorBytes(narrowed(values, to: .f32))
    }
    return .object(
      [
        JSONValue.Member("modules", .integer(plan.changes.count)),
        JSONValue.Member("parameters", .integer(parameterCount)),
      ] + (found?.report ?? []))
  }

  /// The tensors that make the error of quantized weights least: factors, and codes and tables that were found with them.
  private func compensate(
    _ modules: [String], of input: Checkpoint, _ context: PassContext
  ) throws -> (tensors: [String: TensorBytes], report: [JSONValue.Member]) {
    if let module = modules.first(where: { input.contents.quantization[$0] == nil }) {
      throw PassError.usage(
        "module '\(module)': the initialization '\(options.initialization.rawValue)' needs a quantized weight"
      )
    }
    let path = context.work.path("compensation.tensors")
    var places: [(name: String, range: Range<Int>)] = []
    var file = try OutputFile(creating: path)
    let models = try CompensatedModels(options, input: input, context)
    let report = try find(modules, models, context.progress) { linear in
      for (part, bytes) in try changedTensors(of: linear, models) {
        let start = file.byteCount
        try bytes.withSpan { try file.append($0) }
        places.append((part.name(of: linear.name), start..<file.byteCount))
      }
    }
    let mapped = try MappedFile(path: path)
    let tensors = places.map { ($0.name, TensorBytes(mapped, range: $0.range)) }
    return (Dictionary(tensors, uniquingKeysWith: { first, _ in first }), report)
  }

  /// What is stored of a linear that was compensated, as it is stored.
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
  ) throws -> [JSONValue.Member] {
    if options.initialization == .atc {
      var run = try AlignThenCorrect(options, modules: modules, models, progress: progress)
      try run.run(keep)
      return run.report
    }
    var run = try ErrorCompensation(options, modules: modules, models, progress: progress)
    try run.run(keep)
    return run.report
  }

  /// The tensor that stands last among those of a module's weight.
  static func lastTensor(of module: String, in contents: CheckpointContents) -> String {
    module + (contents.quantization[module] == nil ? ".weight" : ".biases")
  }

  private func adapterTensors(_ module: String, in input: Checkpoint) throws -> [TensorInfo] {
    guard let weight = input.tensor(named: module + ".weight") else {
      throw FormatError(input.path, .missing("tensor '\(module).weight'"))
    }
    let quantization = input.contents.quantization[module]
    var columns = weight.shape[1]
    if let quantization { columns = quantization.shape(ofStored: weight)[1] }
    if options.kind == .pooled {
      guard let quantization else {
        throw PassError.usage(
          "module '\(module)': a pooled adapter needs a quantized weight, this one is dense")
      }
      columns /= quantization.groupSize
    }
    return [
      TensorInfo(name: module + ".lora_A.weight", dtype: .f32, shape: [options.rank, columns]),
      TensorInfo(name: module + ".lora_B.weight", dtype: .f32, shape: [weight.shape[0], options.rank]),
    ]
  }

  private func initialA(_ tensor: TensorInfo) -> [Float] {
    options.randomA(named: tensor.name, count: tensor.elementCount)
  }
}

extension AttachOptions {
  /// Normal values with deviation `1 / rank`, from the seed and the tensor's name alone.
  ///
  /// Source: PEFT's "gaussian" initialisation, which RILQ uses.
  func randomA(named name: String, count: Int) -> [Float] {
    var random = NormalGenerator(seed: seed, name: name)
    let deviation = 1 / Double(rank)
    return (0..<count).map { _ in Float(random.next() * deviation) }
  }
}
