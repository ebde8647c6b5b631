public import Checkpoints
import Kernels
import Models

/// Adds adapters to linears: A random and B zero, which changes nothing yet; values that compensate the
/// quantization error; or those of a PEFT adapter.
public struct AttachPass: Pass {
  /// The name in recipes.
  public static let name = "attach"
  /// The summary for help.
  public static let summary = "Add adapters to linears: without effect yet, or compensating errors."
  /// The options of the pass.
  public var options: AttachOptions

  /// Takes options.
  public init(_ options: AttachOptions) { self.options = options }

  /// Selects the modules and determines the shapes of their adapters.
  public func plan(_ input: Checkpoint) throws -> PassPlan {
    if let source = options.adapter { return try PeftAttachment(source).plan(input) }
    guard input.contents.adapter == nil else {
      throw PassError.usage("\(input.path): has an adapter already; merge it before attaching another")
    }
    var editor = PlanEditor(input)
    let candidates = ModuleDescription.matrices(of: input)
    let modules = try ModuleSelection(targets: options.targets, ignore: options.ignore).select(
      from: candidates)
    try Self.checkTrainable(modules, among: candidates)
    for module in modules {
      let tensors = try adapterTensors(module, in: input)
      if options.roundsAgain { try checkRoundable(module, in: input) }
      editor.add(
        tensors, after: Self.lastTensor(of: module, in: input.contents),
        rewriting: rewrittenTensors(of: module, in: input), module: module,
        action: "\(options.kind.rawValue) adapter, rank \(options.rank)" + initialization)
    }
    editor.update {
      $0.adapter = AdapterParameters(kind: options.kind, rank: options.rank, alpha: options.alpha)
    }
    var plan = editor.plan(memory: try memory(of: input).byteCount) { [modules, options] input, context in
      guard options.initialization.usesTeacher else { return NewAdapterRun(options) }
      return try CompensationRun(options, modules, input, context)
    }
    plan.work = try work(of: input)
    return plan
  }

  /// Estimates the products of the windows' way through both models and of the moments; not the closed forms.
  private func work(of input: Checkpoint) throws -> WorkEstimate {
    guard options.initialization.usesText else { return WorkEstimate() }
    let token = try TokenWork(of: input, length: options.length)
    let tokens = Double(options.samples * options.length)
    let gradients = options.initialization == .atc ? Double(16 * options.length) * 3 * token.forward : 0
    return WorkEstimate(tokens * (2 * token.layers + token.moments) + gradients, .f32)
  }

  /// Returns the tensors of a weight that is rounded again.
  private func rewrittenTensors(of module: String, in input: Checkpoint) -> [String] {
    guard options.roundsAgain else { return [] }
    return (input.contents.quantization[module]?.partKinds ?? []).map { $0.name(of: module) }
  }

  private var initialization: String {
    guard options.initialization != .zero else { return "" }
    let iterations =
      options.roundsAgain ? " of \(options.iterations) iterations, rounds the weight again" : ""
    return ", \(options.initialization.rawValue)" + iterations
  }

  /// Rejects a module with trained changes of its tables, because they belong to the codes that are replaced.
  private func checkRoundable(_ module: String, in input: Checkpoint) throws {
    if let layout = input.contents.quantization[module], !layout.isFree {
      throw PassError.usage(
        "module '\(module)': '\(options.initialization.rawValue)' does not round \(layout.phrase) again")
    }
    for part in [ModuleTensor.scalesDelta, .biasesDelta]
    where input.tensor(named: part.name(of: module)) != nil {
      throw PassError.usage(
        "module '\(module)': rounding it again would lose the trained changes of its tables; merge them first"
      )
    }
  }

  /// Estimates the memory of closed forms and of the text's windows.
  private func memory(of input: Checkpoint) throws -> MemoryEstimate {
    guard options.initialization.usesTeacher else { return 0 }
    let sizes = try ModelSizes(of: input)
    let length = MemoryEstimate(options.length)
    let tokens = options.initialization.usesText ? MemoryEstimate(options.samples) * length : 0
    let windows = 4 * tokens * (sizes.hidden + sizes.queries) + LayerWalk.keptMemory(tokens, sizes)
    // The error and its products, the moments and their factors, in doubles.
    let square = sizes.order * sizes.order
    let errors = 8 * (5 * sizes.hidden * sizes.intermediate + 5 * square)
    guard options.initialization == .atc else { return errors + windows }
    // The windows of both models, the inputs of all layers for one window, and the moments of all gradients of a
    // layer.
    return errors + 2 * windows + 4 * length * sizes.hidden * sizes.layers + 8 * 10 * square
  }

  /// Rejects modules that calibration does not train, because their adapters would have no effect.
  static func checkTrainable(_ modules: [String], among candidates: [ModuleDescription]) throws {
    let linears = Set(candidates.filter(\.isLayerLinear).map(\.name))
    guard let module = modules.first(where: { !linears.contains($0) }) else { return }
    throw PassError.usage("module '\(module)': adapters are attached to the linears of layers only")
  }

  /// Reads the text once to check that it is long enough.
  public func checkTexts(for input: Checkpoint, _ access: FileAccess) throws {
    guard let source = options.windowSource else { return }
    try CalibrationWindows.requireTexts(source, for: input)
  }

  /// Returns the last tensor of a module's weight in the order of the file.
  static func lastTensor(of module: String, in contents: CheckpointContents) -> String {
    (contents.quantization[module]?.partKinds.last ?? .weight).name(of: module)
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
      if !quantization.isFree {
        throw PassError.usage(
          "module '\(module)': a pooled adapter cannot be merged into \(quantization.phrase); calibrate trains "
            + "their tables without an adapter")
      }
      columns /= quantization.groupSize
    }
    return [
      TensorInfo(name: module + ".lora_A.weight", dtype: .f32, shape: [options.rank, columns]),
      TensorInfo(name: module + ".lora_B.weight", dtype: .f32, shape: [weight.shape[0], options.rank]),
    ]
  }
}

extension PassOptions {
  /// Creates the step of a recipe.
  public static func attach(_ options: AttachOptions) -> PassOptions { PassOptions(AttachPass(options)) }
}

extension AttachOptions {
  /// Returns a factor of an adapter that changes nothing: A random, B zero.
  func initialFactor(_ tensor: TensorInfo) -> TensorBytes {
    let values =
      ModuleTensor.loraA.module(of: tensor.name) == nil
      ? [Float](repeating: 0, count: tensor.elementCount)
      : randomA(named: tensor.name, count: tensor.elementCount)
    return TensorBytes(narrowed(values, to: .f32))
  }

  /// Returns normal values with deviation `1 / rank` that depend on the seed and the tensor's name only.
  ///
  /// Source: PEFT's "gaussian" initialisation, which RILQ uses.
  func randomA(named name: String, count: Int) -> [Float] {
    var random = NormalGenerator(seed: seed, name: name)
    let deviation = 1 / Double(rank)
    return (0..<count).map { _ in Float(random.next() * deviation) }
  }
}
