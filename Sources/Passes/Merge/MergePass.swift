package import Checkpoints
import Kernels
import Models

/// Folds adapters and trained changes into the weights, so that nothing is left beside them.
///
/// Pooled adapters and changed tables fold into the tables of packed weights exactly, up to the rounding of their
/// type: `bias += alpha / rank · (B · A) / pool`. Dense adapters fold into dense weights; into packed ones only by
/// quantizing again, when that is allowed.
///
/// Source: QA-LoRA, arXiv:2309.14717, section 3.3.
package struct MergePass: Pass {
  private let options: MergeOptions

  package init(_ options: MergeOptions) { self.options = options }

  package var name: String { "merge" }

  package func plan(_ input: Checkpoint) throws -> PassPlan {
    var editor = ContentsEditor(input.contents)
    for module in mergeableModules(of: input) {
      let parts = try MergeParts(module, in: input)
      try checkAllowed(parts, in: input)
      guard !parts.beside.isEmpty || changesTables(parts, in: input) else { continue }
      editor.replace(
        parts.own.map(\.name) + parts.beside.map(\.name), with: parts.own.map(tables.merged), module: module,
        action: parts.action)
    }
    editor.update { $0.adapter = nil }
    let plan = editor.plan(memory: input.contents.tensors.reduce(0) { max($0, $1.elementCount) } * 4)
    guard !plan.changes.isEmpty else {
      throw PassError.usage("\(input.path): has no adapter and no trained change to merge")
    }
    return plan
  }

  package func run(
    _ input: Checkpoint, into writer: any CheckpointWriter, _ context: PassContext
  ) throws -> JSONValue {
    let plan = try plan(input)
    let changed = Set(plan.changes.map(\.name))
    var pending: [String: TensorBytes] = [:]
    var summary = MergeSummary()
    try writeTensors(of: plan.contents, from: input, into: writer) { tensor in
      if let bytes = pending.removeValue(forKey: tensor.name) { return bytes }
      guard tensor.name.hasSuffix(".weight") else { return nil }
      let module = String(tensor.name.dropLast(".weight".count))
      guard changed.contains(module) else { return nil }
      for result in try merge(module, in: input, summary: &summary) { pending[result.name] = result.bytes }
      context.progress(
        Progress(phase: "merge", completed: summary.modules, total: changed.count, detail: module))
      return pending.removeValue(forKey: tensor.name)
    }
    return summary.report
  }

  private func mergeableModules(of input: Checkpoint) -> [String] {
    ModuleDescription.names(of: input.contents)
  }

  private var tables: MergedTables { MergedTables(dtype: options.tables) }

  private func changesTables(_ parts: MergeParts, in input: Checkpoint) -> Bool {
    parts.own.contains { tables.merged($0) != $0 }
  }

  private func checkAllowed(_ parts: MergeParts, in input: Checkpoint) throws {
    guard parts.quantization != nil, parts.hasAdapter, input.contents.adapter?.kind == .dense,
      !options.requantize
    else { return }
    throw parts.refusalOfDense("leave out merge to keep it beside them")
  }

  private func merge(
    _ module: String, in input: Checkpoint, summary: inout MergeSummary
  ) throws -> [(name: String, bytes: TensorBytes)] {
    let parts = try MergeParts(module, in: input)
    let linear = try parts.readLinear(from: input)
    summary.modules += 1
    guard let packed = linear.weight.packed else {
      return [(module + ".weight", try mergeDense(linear, parts, summary: &summary))]
    }
    var merged = packed
    if let adapter = linear.adapter {
      guard adapter.kind == .pooled else {
        let sum = linear.foldedWeight
        return try tables.requantized(linear.weight, packed, parts, summary: &summary) { range, values in
          let start = range.lowerBound * sum.columnCount
          for i in values.indices { values[i] = sum.values[start + i] }
        }
      }
      try merged.addPooled(
        adapter.loraA, adapter.loraB, scaling: Double(adapter.scaling), pool: adapter.groupSize,
        module: module)
    }
    return try tables.stored(merged, parts, summary: &summary)
  }

  private func mergeDense(
    _ linear: Linear, _ parts: MergeParts, summary: inout MergeSummary
  ) throws -> TensorBytes {
    let sum = linear.foldedWeight
    guard let format = FloatFormat(try parts.own("weight").dtype) else {
      preconditionFailure("read as a weight before")
    }
    let bytes = narrowed(sum.values, to: format)
    try summary.addDense(sum.values, stored: bytes, format, name: linear.name + ".weight")
    return TensorBytes(bytes)
  }
}
