package import Checkpoints
import Kernels
import Models

/// Puts an adapter of PEFT beside the linears it belongs to, so that calibration can start from it.
package struct PeftAttachPass: Pass {
  private let source: AdapterSource

  package init(_ source: AdapterSource) { self.source = source }

  package var name: String { "attach" }

  package func plan(_ input: Checkpoint) throws -> PassPlan {
    let matched = try MatchedAdapter(source, base: input)
    let parameters = try matched.adapter.parameters(source.pooling ?? .peft)
    let modules = matched.adapter.modules
    try AttachPass.checkTrainable(
      modules.map(\.name), among: ModuleDescription.matrices(of: input))
    var editor = ContentsEditor(input.contents)
    for module in modules {
      try checkGroups(module, matched, in: input)
      editor.add(
        tensors(module).map(\.0), behind: AttachPass.lastTensor(of: module.name, in: input.contents),
        module: module.name, action: "\(parameters.kind.rawValue) adapter, rank \(parameters.rank)")
    }
    editor.update { $0.adapter = parameters }
    return editor.plan(memory: 0)
  }

  package func run(
    _ input: Checkpoint, into writer: any CheckpointWriter, _ context: PassContext
  ) throws -> JSONValue {
    let plan = try plan(input)
    let matched = try MatchedAdapter(source, base: input)
    let sources = Dictionary(
      matched.adapter.modules.flatMap(tensors).map { ($0.0.name, $0.1) },
      uniquingKeysWith: { first, _ in first })
    var parameterCount = 0
    try writeTensors(of: plan.contents, from: input, into: writer) { tensor in
      guard let source = sources[tensor.name] else { return nil }
      parameterCount += tensor.elementCount
      return TensorBytes(narrowed(try matched.values(source), to: .f32))
    }
    return .object([
      JSONValue.Member("modules", .integer(plan.changes.count)),
      JSONValue.Member("parameters", .integer(parameterCount)),
    ])
  }

  /// The tensors beside a weight, in singles, which hold every dtype of adapters, with those of the file.
  private func tensors(_ module: PeftModule) -> [(TensorInfo, TensorInfo)] {
    [("lora_A", module.loraA), ("lora_B", module.loraB)].map { name, tensor in
      (TensorInfo(name: "\(module.name).\(name).weight", dtype: .f32, shape: tensor.shape), tensor)
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
