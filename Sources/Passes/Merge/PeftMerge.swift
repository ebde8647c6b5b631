import Checkpoints
import Kernels
import Models

/// Folds an adapter of PEFT into the weights of a checkpoint, one tensor at a time.
///
/// Dense weights get the update added in f32 and are rounded once to their dtype. For packed weights, a
/// pooled adapter is added to the biases exactly; a dense one requires requantizing, if that is allowed.
///
/// Source: equals `merge_and_unload` of PEFT 0.21; the formulas are in `Formats/peft.md`.
struct PeftMerge {
  private let options: MergeOptions
  private let source: AdapterSource

  init(_ options: MergeOptions, _ source: AdapterSource) {
    self.options = options
    self.source = source
  }

  private var tables: MergedTables { MergedTables(dtype: options.tables) }

  /// Plans the merge after matching every tensor of the adapter.
  func plan(_ input: Checkpoint) throws -> PassPlan {
    let matched = try MatchedAdapter(source, base: input)
    var editor = PlanEditor(input)
    var largest = 0
    for tensor in input.contents.tensors {
      if let module = module(of: tensor, matched) {
        let parts = try MergeParts(module.name, in: input)
        try checkAllowed(parts, module, matched)
        editor.replace(
          parts.own.map(\.name), with: parts.own.map(tables.merged), module: module.name,
          action: action(module, parts))
        largest = max(largest, parts.own.reduce(0) { $0 + $1.byteCount })
      } else if matched.replacements[tensor.name] != nil || matched.biasModule(of: tensor.name) != nil {
        let isReplaced = matched.replacements[tensor.name] != nil
        editor.replace(
          [tensor.name], with: [tensor], module: tensor.name,
          action: isReplaced ? "replaced by the adapter's" : "merged lora_B.bias")
        largest = max(largest, tensor.byteCount)
      }
    }
    if options.tables != nil, matched.modules.keys.allSatisfy({ input.contents.quantization[$0] == nil }) {
      throw PassError.usage("merge: 'tables' has no meaning here, the adapter changes no packed weight")
    }
    var plan = editor.plan(memory: largest) { [tables] input, context in
      PeftMergeRun(tables: tables, matched: matched.with(base: input), input: input, context: context)
    }
    if matched.unties {
      plan.replaceAsset(
        named: ModelConfiguration.fileName, with: try input.configuration().withOwnHead)
    }
    return plan
  }

  /// Returns the module whose weight a tensor is, if it has an adapter.
  private func module(of tensor: TensorInfo, _ matched: MatchedAdapter) -> PeftModule? {
    ModuleTensor.weight.module(of: tensor.name).flatMap { matched.modules[$0] }
  }

  private func action(_ module: PeftModule, _ parts: MergeParts) -> String {
    let kind = module.magnitude != nil ? "DoRA" : module.isEmbedding ? "embedding adapter" : "adapter"
    let isRequantized = parts.quantization != nil && options.requantize
    return "merged \(kind) of rank \(module.rank)" + (isRequantized ? ", or quantized again" : "")
  }

  private func checkAllowed(_ parts: MergeParts, _ module: PeftModule, _ matched: MatchedAdapter) throws {
    guard let parameters = parts.quantization, !options.requantize else { return }
    let pool = try matched.pool(module)
    guard matched.isPooled else {
      throw parts.refusalOfDense("'rilq attach --adapter' keeps it beside them")
    }
    try PackedWeight.checkPool(pool.columns, layout: parameters, module: parts.module)
  }
}

/// Folds one module, or replaces one tensor, after the other.
private struct PeftMergeRun: PassRun {
  let tables: MergedTables
  let matched: MatchedAdapter
  let input: Checkpoint
  let context: PassContext
  private var summary = MergeSummary()

  init(tables: MergedTables, matched: MatchedAdapter, input: Checkpoint, context: PassContext) {
    self.tables = tables
    self.matched = matched
    self.input = input
    self.context = context
  }

  mutating func make(_ replacement: PassPlan.Replacement) throws -> [TensorBytes] {
    guard let module = matched.modules[replacement.module] else {
      let tensor = replacement.outputs[0]
      if matched.replacements[tensor.name] != nil { summary.replacedTensors += 1 }
      return [try matched.bias(tensor) ?? matched.bytes(of: tensor)]
    }
    let merged = try merge(module)
    context.progress(
      Progress(
        phase: "merge", completed: summary.modules, total: matched.modules.count, detail: module.name))
    return merged
  }

  mutating func finish() throws -> any PassReport { summary.report }

  private mutating func merge(_ module: PeftModule) throws -> [TensorBytes] {
    let parts = try MergeParts(module.name, in: input)
    summary.modules += 1
    guard parts.quantization != nil else {
      return [try mergeDense(module, parts)]
    }
    let weight = try parts.readLinear(from: input).weight
    guard var packed = weight.packed else { preconditionFailure("a quantized module with a dense weight") }
    let pool = try matched.pool(module)
    guard matched.isPooled, packed.layout.isFree, pool.columns % packed.groupSize == 0 else {
      let fold = try AdapterFold(module, of: matched, onto: weight)
      summary.addChange(fold.changes.relativeChange, module: module.name)
      return try tables.requantized(weight, packed, parts, summary: &summary) { fold.fold($0, into: &$1) }
    }
    let change = try packed.addPooled(
      Matrix(rows: module.rank, columns: module.loraA.shape[1], values: matched.values(module.loraA)),
      Matrix(rows: module.loraB.shape[0], columns: module.rank, values: matched.values(module.loraB)),
      scaling: module.scaling * pool.factor, pool: pool.columns, module: module.name)
    summary.addChange(
      (change / max(weight.squaredNorm, .leastNormalMagnitude)).squareRoot(), module: module.name)
    return try tables.stored(packed, parts, summary: &summary)
  }

  private mutating func mergeDense(_ module: PeftModule, _ parts: MergeParts) throws -> TensorBytes {
    let own = try parts.own(.weight)
    guard let format = FloatFormat(own.dtype) else { preconditionFailure("refused when it was matched") }
    if matched.replacements[own.name] != nil { summary.replacedTensors += 1 }
    let weight = Weight(
      rows: parts.rows, columns: parts.columns, values: .dense(try matched.bytes(of: own), format))
    let result = try AdapterFold(module, of: matched, onto: weight).stored(as: format)
    try summary.addFolded(result.sums, module: module.name)
    return TensorBytes(result.bytes)
  }
}

extension MatchedAdapter {
  /// Whether A is applied to means of groups.
  var isPooled: Bool { adapter.groupSize != nil || pooling == .qaLora }

  /// Returns the module whose bias a tensor of the base is, if its adapter has a bias.
  func biasModule(of name: String) -> PeftModule? {
    ModuleTensor.bias.module(of: name).flatMap { modules[$0] }.flatMap { $0.bias == nil ? nil : $0 }
  }

  /// Returns a bias of the base with the adapter's added, rounded once; nil for every other tensor.
  fileprivate func bias(_ tensor: TensorInfo) throws -> TensorBytes? {
    guard let module = biasModule(of: tensor.name), let bias = module.bias,
      let format = FloatFormat(tensor.dtype)
    else { return nil }
    var values = try bytes(of: tensor).withSpan { widened($0, from: format) }
    for (i, value) in try self.values(bias).enumerated() {
      values[i] = Float(Double(values[i]) + module.scaling * Double(value))
    }
    return TensorBytes(narrowed(values, to: format))
  }
}

extension Weight {
  /// The sum of the squared elements.
  fileprivate var squaredNorm: Double {
    let rowsPerChunk = AdapterFold.rowsPerChunk
    return parallelMap((rowCount + rowsPerChunk - 1) / rowsPerChunk) { chunk in
      let rows = chunk * rowsPerChunk..<min((chunk + 1) * rowsPerChunk, rowCount)
      var values = [Float](repeating: 0, count: rows.count * columnCount)
      var span = values.mutableSpan
      unpack(rows: rows, columns: 0..<columnCount, into: &span)
      return Double(sumOfSquares(span.span))
    }.reduce(0, +)
  }
}
