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
        parts.own.map(\.name) + parts.beside.map(\.name), with: parts.own.map(merged), module: module,
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
    ModuleDescription.matrices(of: input.contents).map(\.name)
  }

  /// The dtype of a table after merging.
  private func merged(_ tensor: TensorInfo) -> TensorInfo {
    guard let tables = options.tables, tensor.name.hasSuffix(".scales") || tensor.name.hasSuffix(".biases")
    else {
      return tensor
    }
    return TensorInfo(name: tensor.name, dtype: tables, shape: tensor.shape)
  }

  private func changesTables(_ parts: MergeParts, in input: Checkpoint) -> Bool {
    parts.own.contains { merged($0) != $0 }
  }

  private func checkAllowed(_ parts: MergeParts, in input: Checkpoint) throws {
    guard parts.quantization != nil, parts.hasAdapter, input.contents.adapter?.kind == .dense,
      !options.requantize
    else { return }
    throw PassError.notExact(
      "module '\(parts.module)': a dense adapter cannot be merged into \(parts.quantization?.bits ?? 2)-bit codes "
        + "exactly; leave out merge to keep it beside them, or allow --requantize, which reports the loss")
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
    var tables = packed
    if let adapter = linear.adapter {
      if adapter.kind == .pooled {
        try addPooled(adapter, to: &tables, columnCount: linear.weight.columnCount, module: module)
      } else {
        return try requantize(linear, packed, parts, summary: &summary)
      }
    }
    let rounded = try round(tables, parts, summary: &summary)
    return [(module + ".weight", packed.codes), rounded.scales, rounded.biases]
  }

  /// Adds `scaling · (B · A) / pool` to the biases; each bias is rounded once.
  private func addPooled(
    _ adapter: LowRankAdapter, to packed: inout PackedWeight, columnCount: Int, module: String
  ) throws {
    guard adapter.groupSize % packed.groupSize == 0 else {
      throw PassError.notExact(
        "module '\(module)': an adapter over groups of \(adapter.groupSize) cannot be merged into tables over "
          + "groups of \(packed.groupSize); the former must be a multiple of the latter")
    }
    let groupCount = columnCount / packed.groupSize
    let groupsPerPool = adapter.groupSize / packed.groupSize
    let factor = Double(adapter.scaling) / Double(adapter.groupSize)
    let (a, b) = (adapter.loraA, adapter.loraB)
    for row in 0..<b.rowCount {
      for pool in 0..<a.columnCount {
        var update = 0.0
        for r in 0..<adapter.rank {
          update += Double(b.values[row * adapter.rank + r]) * Double(a.values[r * a.columnCount + pool])
        }
        for group in pool * groupsPerPool..<(pool + 1) * groupsPerPool {
          let index = row * groupCount + group
          packed.biases[index] = Float(Double(packed.biases[index]) + factor * update)
        }
      }
    }
  }

  /// Tables in their type on disk, with what the rounding cost.
  private func round(
    _ packed: PackedWeight, _ parts: MergeParts, summary: inout MergeSummary
  ) throws -> (scales: (String, TensorBytes), biases: (String, TensorBytes)) {
    func store(_ values: [Float], _ kind: String) throws -> (String, TensorBytes) {
      let tensor = merged(try parts.own(kind))
      guard let format = FloatFormat(tensor.dtype) else { preconditionFailure("a table of no float type") }
      let bytes = narrowed(values, to: format)
      try summary.addTable(values, stored: bytes, format, steps: packed.scales, name: tensor.name)
      return (tensor.name, TensorBytes(bytes))
    }
    return (try store(packed.scales, "scales"), try store(packed.biases, "biases"))
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

  /// Quantizes the sum of a packed weight and its dense adapter again.
  private func requantize(
    _ linear: Linear, _ packed: PackedWeight, _ parts: MergeParts, summary: inout MergeSummary
  ) throws -> [(name: String, bytes: TensorBytes)] {
    let sum = linear.foldedWeight
    let quantizer = RoundToNearest(bits: packed.bits, groupSize: packed.groupSize)
    let result = try quantizer.quantize(
      rows: sum.rowCount, columns: sum.columnCount, name: linear.name + ".weight"
    ) { range, values in
      let start = range.lowerBound * sum.columnCount
      for i in values.indices { values[i] = sum.values[start + i] }
    }
    summary.addRequantized(result)
    let tables = PackedWeight(
      codes: TensorBytes(result.codes), bits: packed.bits, groupSize: packed.groupSize, scales: result.scales,
      biases: result.biases)
    let rounded = try round(tables, parts, summary: &summary)
    return [(linear.name + ".weight", tables.codes), rounded.scales, rounded.biases]
  }
}
