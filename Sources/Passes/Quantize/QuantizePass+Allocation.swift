import Checkpoints
import Kernels
import Models

/// What a budget of bits counts.
enum BitBudget: Sendable, Equatable {
  /// The average bits of the quantized weights, with their tables.
  case perWeight(Double)
  /// The average bits of all parameters of the checkpoint.
  case perParameter(Double)
  /// The bytes of all tensors of the checkpoint.
  case bytes(Int)

  /// Whether the embedding and the output head count, too.
  var isOfCheckpoint: Bool {
    if case .perWeight = self { false } else { true }
  }
}

/// Distribution of a budget of bits over the modules.
extension QuantizePass {
  /// The widths of codes with free tables that a budget is distributed to.
  private static let freeWidths = [2, 3, 4]

  /// Returns the layouts that a module without one of its own can have, from the smallest to the largest.
  func ladder(_ stated: QuantizeOptions.ModuleParameters) -> [QuantizedLayout] {
    if let kind = stated.parameters.superBlock {
      let lattices: [SuperBlock] = kind.lattice == nil ? [] : [.iq2XS, .iq2S]
      return (lattices + SuperBlock.kTypes).map { .superBlock($0) }
    }
    return Self.freeWidths.map { QuantizedLayout(bits: $0, groupSize: stated.parameters.groupSize) }
  }

  /// Returns the ladder's layouts that fit a weight and have no more bits than it has.
  private func choices(
    _ stated: QuantizeOptions.ModuleParameters, _ weight: QuantizableWeight, in input: Checkpoint
  ) -> [QuantizedLayout] {
    let most = input.contents.quantization[stated.module]?.bits ?? .max
    var choices: [QuantizedLayout] = []
    for layout in ladder(stated).map({ fitting($0, columns: weight.columnCount) })
    where (layout.bits <= most || choices.isEmpty) && !choices.contains(layout) {
      choices.append(layout)
    }
    return choices
  }

  /// Returns the layout of every module without one of its own, by its measured sensitivity.
  func layouts(
    within budget: BitBudget, for input: Checkpoint, _ context: PassContext
  ) throws -> [String: QuantizedLayout] {
    let input = try source(input)
    let modules = try selectedParameters(of: input)
    var weights: [String: QuantizableWeight] = [:]
    var choices: [String: [QuantizationGrid]] = [:]
    let open = modules.filter { !$0.hasOwnBits }
    for stated in open {
      let weight = try QuantizableWeight(stated.module, in: input)
      weights[stated.module] = weight
      choices[stated.module] = self.choices(stated, weight, in: input).map(grid)
    }
    var model = try Transformer(input)
    model.operands = options.products
    let tokens = try windows(for: input, context)
    try model.requireTokens(tokens, from: Tokenizer.path(in: input))
    var sensitivity = try Sensitivity(
      choices, model: model, tokens: tokens, group: context.group, progress: context.progress)
    try sensitivity.measure()
    let candidates = try open.map { stated in
      let module = stated.module
      guard let weight = weights[module], let grids = choices[module] else {
        preconditionFailure("module '\(module)' has no choices")
      }
      let losses = try sensitivity.losses[module] ?? lossesAlone(module, in: input, grids)
      return BitAllocation.Module(
        name: module,
        choices: zip(grids, losses).map { grid, loss in
          BitAllocation.Choice(grid.layout, cost: bitCount(weight, grid.layout), loss: loss)
        })
    }
    return BitAllocation(candidates, budget: try bitsToDistribute(budget, modules, in: input)).layouts
  }

  /// Returns the bits for the modules without layouts of their own, codes and tables together.
  ///
  /// - Throws: `PassError.usage` when their smallest layouts exceed the budget.
  func bitsToDistribute(
    _ budget: BitBudget, _ modules: [QuantizeOptions.ModuleParameters], in input: Checkpoint
  ) throws -> Int {
    var (weightCount, fixed, least) = (0, 0, 0)
    var others = 8 * input.contents.byteCount
    for module in modules {
      let weight = try QuantizableWeight(module.module, in: input)
      let smallest = fitting(
        module.hasOwnBits ? module.parameters : ladder(module)[0], columns: weight.columnCount)
      let bits = bitCount(weight, smallest)
      weightCount += weight.elementCount
      if module.hasOwnBits { fixed += bits } else { least += bits }
      others -= 8 * weight.stored.reduce(0) { $0 + $1.byteCount }
    }
    let (total, beside) = available(budget, weightCount, others: others, in: input)
    guard total >= beside + fixed + least else {
      throw PassError.usage(shortage(budget, needed: beside + fixed + least, weightCount, in: input))
    }
    return total - beside - fixed
  }

  /// The bits of a budget, and those of tensors that are not quantized, if they count.
  private func available(
    _ budget: BitBudget, _ weightCount: Int, others: Int, in input: Checkpoint
  ) -> (total: Int, beside: Int) {
    func bits(_ average: Double, _ count: Int) -> Int { Int((average * Double(count)).rounded(.down)) }
    return switch budget {
    case .perWeight(let average): (bits(average, weightCount), 0)
    case .perParameter(let average): (bits(average, input.contents.parameterCount), others)
    case .bytes(let count): (8 * count, others)
    }
  }

  /// Why a budget is too small, with what the smallest layouts take.
  private func shortage(
    _ budget: BitBudget, needed: Int, _ weightCount: Int, in input: Checkpoint
  ) -> String {
    func average(_ count: Int) -> String {
      (Double(needed) / Double(max(count, 1))).formatted(decimals: 2)
    }
    let smallestBlock = options.grid.superBlock.map { $0.lattice == nil ? SuperBlock.q2K : .iq2XS }
    let smallest = smallestBlock?.rawValue ?? "2 bits"
    let remedy =
      options.grid.superBlock == nil ? "; tables of bf16 and larger groups take fewer" : ""
    return switch budget {
    case .perWeight(let given):
      "quantize: 'bits_per_weight' is \(given), but \(smallest) with their tables take \(average(weightCount))"
        + remedy
    case .perParameter(let given):
      "quantize: 'bits_per_parameter' is \(given), but \(smallest) with their tables and the other tensors take "
        + average(input.contents.parameterCount) + remedy
    case .bytes(let given):
      "quantize: 'size' is \(given.formattedBytes), but \(smallest) with their tables and the other tensors take "
        + (needed / 8).formattedBytes + remedy
    }
  }

  private func bitCount(_ weight: QuantizableWeight, _ layout: QuantizedLayout) -> Int {
    8 * packedTensors(weight, layout).reduce(0) { $0 + $1.byteCount }
  }

  /// Returns the relative squared errors of a weight that the text does not reach, for each grid.
  private func lossesAlone(
    _ module: String, in input: Checkpoint, _ grids: [QuantizationGrid]
  ) throws -> [Double] {
    try grids.map { grid in
      let packed = try quantizeAlone(module, in: input, ClipSearch(grid: grid)).packed
      return packed.squaredError / max(packed.squaredNorm, .leastNormalMagnitude)
    }
  }
}
