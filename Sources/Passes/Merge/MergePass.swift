public import Checkpoints
import Kernels
import Models

/// Folds adapters and trained changes of the checkpoint, or an adapter of PEFT, into the weights.
///
/// Pooled adapters and changed tables fold into the tables of packed weights exactly, up to the rounding of
/// their type: `bias += alpha / rank · (B · A) / pool`. Dense adapters fold into dense weights; they fold
/// into packed weights only by requantizing, if that is allowed.
///
/// Source: QA-LoRA, arXiv:2309.14717, section 3.3.
public struct MergePass: Pass {
  /// The name in recipes.
  public static let name = "merge"
  /// The summary for help.
  public static let summary = "Fold adapters and trained changes into the weights."
  /// The options of the pass.
  public var options: MergeOptions

  /// Takes options.
  public init(_ options: MergeOptions) { self.options = options }

  /// `verify` compares with the state before, unless the adapter comes from another folder.
  public var effect: PassEffect {
    var effect = PassEffect()
    effect.unmerged = options.adapter == nil ? .before : .none
    return effect
  }

  /// Selects the modules with tensors to merge, or matches the adapter with the checkpoint.
  public func plan(_ input: Checkpoint) throws -> PassPlan {
    if let source = options.adapter { return try PeftMerge(options, source).plan(input) }
    var editor = PlanEditor(input)
    for module in mergeableModules(of: input) {
      let parts = try MergeParts(module, in: input)
      try checkAllowed(parts, in: input)
      guard !parts.beside.isEmpty || changesTables(parts, in: input) else { continue }
      editor.replace(
        parts.own.map(\.name) + parts.beside.map(\.name), with: parts.own.map(tables.merged), module: module,
        action: parts.action)
    }
    editor.update { $0.adapter = nil }
    guard !editor.isEmpty else {
      throw PassError.usage("\(input.path): has no adapter and no trained change to merge")
    }
    let (memory, count) = (largestTensor(of: input) * 4, editor.count)
    return editor.plan(memory: memory.byteCount) { [tables] input, context in
      MergeRun(tables: tables, moduleCount: count, input: input, context: context)
    }
  }

  private func largestTensor(of input: Checkpoint) -> MemoryEstimate {
    MemoryEstimate(input.contents.tensors.reduce(0) { max($0, $1.elementCount) })
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
}

extension PassOptions {
  /// Creates the step of a recipe.
  public static func merge(_ options: MergeOptions) -> PassOptions { PassOptions(MergePass(options)) }
}

/// Merges module after module.
private struct MergeRun: PassRun {
  let tables: MergedTables
  let moduleCount: Int
  let input: Checkpoint
  let context: PassContext
  private var summary = MergeSummary()

  init(tables: MergedTables, moduleCount: Int, input: Checkpoint, context: PassContext) {
    self.tables = tables
    self.moduleCount = moduleCount
    self.input = input
    self.context = context
  }

  mutating func make(_ replacement: PassPlan.Replacement) throws -> [TensorBytes] {
    let merged = try merge(replacement.module)
    context.progress(
      Progress(
        phase: "merge", completed: summary.modules, total: moduleCount, detail: replacement.module))
    return merged
  }

  mutating func finish() throws -> any PassReport { summary.report }

  private mutating func merge(_ module: String) throws -> [TensorBytes] {
    let parts = try MergeParts(module, in: input)
    let linear = try parts.readLinear(from: input)
    summary.modules += 1
    guard let packed = linear.weight.packed else {
      return [try mergeDense(linear, parts)]
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

  private mutating func mergeDense(_ linear: Linear, _ parts: MergeParts) throws -> TensorBytes {
    let sum = linear.foldedWeight
    guard let format = FloatFormat(try parts.own(.weight).dtype) else {
      preconditionFailure("read as a weight before")
    }
    let bytes = narrowed(sum.values, to: format)
    try summary.addDense(sum.values, stored: bytes, format, name: linear.name + ".weight")
    return TensorBytes(bytes)
  }
}
