package import Checkpoints
import Kernels
import Models

/// Replaces the weights of linears by packed codes with tables, one tensor at a time, on all cores.
package struct QuantizePass: Pass {
  private let options: QuantizeOptions

  package init(_ options: QuantizeOptions) { self.options = options }

  package var name: String { "quantize" }

  package func plan(_ input: Checkpoint) throws -> PassPlan {
    var editor = ContentsEditor(input.contents)
    var largest = 0
    for module in try selectedModules(of: input) {
      let weight = try denseWeight(of: module, in: input)
      try checkDivisible(weight)
      editor.replace(
        [weight.name], with: packedTensors(module, weight), module: module,
        action: "\(options.method.rawValue), \(options.bits) bits, groups of \(options.groupSize)")
      editor.update {
        $0.quantization[module] = QuantizationParameters(bits: options.bits, groupSize: options.groupSize)
      }
      largest = max(largest, weight.elementCount)
    }
    return editor.plan(memory: largest * 4)
  }

  package func run(
    _ input: Checkpoint, into writer: any CheckpointWriter, _ context: PassContext
  ) throws -> JSONValue {
    let plan = try plan(input)
    var pending: [String: TensorBytes] = [:]
    var summary = QuantizationSummary()
    let total = plan.changes.count
    try writeTensors(of: plan.contents, from: input, into: writer) { tensor in
      if let bytes = pending.removeValue(forKey: tensor.name) { return bytes }
      guard tensor.dtype == .u32, input.tensor(named: tensor.name)?.dtype != .u32 else { return nil }
      let module = String(tensor.name.dropLast(".weight".count))
      let packed = try quantize(module, in: input, summary: &summary)
      pending[module + ".scales"] = packed.scales
      pending[module + ".biases"] = packed.biases
      summary.modules += 1
      context.progress(
        Progress(phase: "quantize", completed: summary.modules, total: total, detail: module))
      return packed.codes
    }
    return summary.report
  }

  private func selectedModules(of input: Checkpoint) throws -> [String] {
    let modules = ModuleDescription.denseMatrices(of: input.contents)
    return try ModuleSelection(targets: options.targets, ignore: options.ignore).select(from: modules)
  }

  private func denseWeight(of module: String, in input: Checkpoint) throws -> TensorInfo {
    guard let weight = input.tensor(named: module + ".weight") else {
      throw FormatError(input.path, .missing("tensor '\(module).weight'"))
    }
    guard FloatFormat(weight.dtype) != nil else {
      throw FormatError(
        input.path, at: "tensor '\(weight.name)'",
        .unsupported("dtype \(weight.dtype.rawValue) cannot be quantized; F32, F16 and BF16 can"))
    }
    return weight
  }

  private func checkDivisible(_ weight: TensorInfo) throws {
    let columns = weight.shape[1]
    guard columns % options.groupSize != 0 else { return }
    throw PassError.divisibility(
      tensor: weight.name, columns: columns, groupSize: options.groupSize,
      fitting: [128, 64, 32].filter { columns % $0 == 0 })
  }

  private func packedTensors(_ module: String, _ weight: TensorInfo) -> [TensorInfo] {
    let (rows, columns) = (weight.shape[0], weight.shape[1])
    let table = [rows, columns / options.groupSize]
    return [
      TensorInfo(name: module + ".weight", dtype: .u32, shape: [rows, columns * options.bits / 32]),
      TensorInfo(name: module + ".scales", dtype: options.tables, shape: table),
      TensorInfo(name: module + ".biases", dtype: options.tables, shape: table),
    ]
  }

  /// Codes and tables of one module, as bytes.
  private func quantize(
    _ module: String, in input: Checkpoint, summary: inout QuantizationSummary
  ) throws -> (codes: TensorBytes, scales: TensorBytes, biases: TensorBytes) {
    let weight = try denseWeight(of: module, in: input)
    guard let format = FloatFormat(weight.dtype), let tables = FloatFormat(options.tables) else {
      preconditionFailure("a dtype that is no float was not refused")
    }
    let (rows, columns) = (weight.shape[0], weight.shape[1])
    let source = Weight(
      rows: rows, columns: columns, values: .dense(try input.bytes(of: weight.name), format))
    let packed = try RoundToNearest(bits: options.bits, groupSize: options.groupSize)
      .quantize(rows: rows, columns: columns, name: weight.name) { range, values in
        source.unpack(rows: range, columns: 0..<columns, into: &values)
      }
    summary.add(packed, elementCount: weight.elementCount)
    return (
      TensorBytes(packed.codes), TensorBytes(narrowed(packed.scales, to: tables)),
      TensorBytes(narrowed(packed.biases, to: tables))
    )
  }
}

/// What is reported of a quantization.
struct QuantizationSummary {
  var modules = 0
  private var weights = 0
  private var squaredError = 0.0
  private var squaredNorm = 0.0

  /// Adds a module's weights and their error.
  mutating func add(_ packed: PackedTensor, elementCount: Int) {
    weights += elementCount
    squaredError += packed.squaredError
    squaredNorm += packed.squaredNorm
  }

  var report: JSONValue {
    .object([
      JSONValue.Member("modules", .integer(modules)), JSONValue.Member("weights", .integer(weights)),
      JSONValue.Member(
        "relative_error", .double((squaredError / max(squaredNorm, .leastNormalMagnitude)).squareRoot())),
    ])
  }
}
