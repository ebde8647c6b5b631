import Checkpoints
import Kernels
import Models

/// Adds an adapter of PEFT to its linears, so that calibration can start from it.
struct PeftAttachment {
  private let source: AdapterSource

  init(_ source: AdapterSource) { self.source = source }

  /// Finds the place of every tensor of the adapter.
  func plan(_ input: Checkpoint) throws -> PassPlan {
    let matched = try MatchedAdapter(source, base: input)
    let parameters = try matched.adapter.parameters(source.pooling ?? .peft)
    let modules = matched.adapter.modules
    try AttachPass.checkTrainable(
      modules.map(\.name), among: ModuleDescription.matrices(of: input))
    var editor = PlanEditor(input)
    for module in modules {
      try checkGroups(module, matched, in: input)
      editor.add(
        tensors(module), after: AttachPass.lastTensor(of: module.name, in: input.contents),
        module: module.name, action: "\(parameters.kind.rawValue) adapter, rank \(parameters.rank)")
    }
    editor.update { $0.adapter = parameters }
    return editor.plan(memory: 0) { _, _ in PeftAttachmentRun(matched) }
  }

  /// The adapter's tensors of a module, as F32, which holds every dtype of adapters.
  private func tensors(_ module: PeftModule) -> [TensorInfo] {
    [(ModuleTensor.loraA, module.loraA), (.loraB, module.loraB)].map { part, tensor in
      TensorInfo(name: part.name(of: module.name), dtype: .f32, shape: tensor.shape)
    }
  }

  private func checkGroups(_ module: PeftModule, _ matched: MatchedAdapter, in input: Checkpoint) throws {
    guard matched.isPooled else { return }
    let pool = try matched.pool(module).columns
    guard let parameters = input.contents.quantization[module.name] else {
      throw PassError.usage(
        "module '\(module.name)': a pooled adapter needs a quantized weight, this one is dense")
    }
    guard parameters.groupSize == pool else {
      throw PassError.notExact(
        "module '\(module.name)': an adapter over groups of \(pool) cannot stay beside a weight in groups of "
          + "\(parameters.groupSize)")
    }
  }
}

/// Copies the factors of an adapter.
private struct PeftAttachmentRun: PassRun {
  private let matched: MatchedAdapter
  private var modules = 0
  private var parameters = 0

  init(_ matched: MatchedAdapter) { self.matched = matched }

  mutating func make(_ replacement: PassPlan.Replacement) throws -> [TensorBytes] {
    guard let module = matched.modules[replacement.module] else {
      preconditionFailure("module '\(replacement.module)' has no adapter")
    }
    modules += 1
    parameters += replacement.outputs.reduce(0) { $0 + $1.elementCount }
    return try [module.loraA, module.loraB].map {
      TensorBytes(narrowed(try matched.values($0), to: .f32))
    }
  }

  mutating func finish() throws -> any PassReport {
    AttachmentReport(modules: modules, parameters: parameters, errors: [])
  }
}
