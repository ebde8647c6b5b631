import Checkpoints
import Kernels
import Models

/// Distribution of a budget of bits over the modules.
extension QuantizePass {
  /// Returns the number of bits for every module without its own, by its measured sensitivity.
  func widths(
    within budget: Double, for input: Checkpoint, _ context: PassContext
  ) throws -> [String: Int] {
    let input = try source(input)
    let modules = try selectedParameters(of: input)
    let open = modules.filter { !$0.hasOwnBits }
    let grids = Dictionary(
      open.map { ($0.module, grid($0.parameters)) }, uniquingKeysWith: { first, _ in first })
    var model = try Transformer(input)
    model.operands = options.products
    let tokens = try windows(for: input, context)
    try model.requireTokens(tokens, from: Tokenizer.path(in: input))
    var sensitivity = try Sensitivity(grids, model: model, tokens: tokens, progress: context.progress)
    try sensitivity.measure()
    let candidates = try open.map { module in
      BitAllocation.Module(
        name: module.module, weightCount: try QuantizableWeight(module.module, in: input).elementCount,
        losses: try sensitivity.losses[module.module]
          ?? lossesAlone(module.module, in: input, module.parameters))
    }
    let available = try bitsForCodes(budget, modules, in: input)
    return BitAllocation(candidates, budget: available).bits
  }

  /// Returns the number of bits to distribute over codes, for a given average over all weights with their
  /// tables.
  ///
  /// - Throws: `PassError.usage` when the lowest width exceeds the budget.
  func bitsForCodes(
    _ bitsPerWeight: Double, _ modules: [QuantizeOptions.ModuleParameters], in input: Checkpoint
  ) throws -> Int {
    var (weights, fixed, least) = (0, 0, 0)
    for module in modules {
      let weight = try QuantizableWeight(module.module, in: input)
      let tables = 2 * weight.elementCount / module.parameters.groupSize * tables.byteWidth * 8
      weights += weight.elementCount
      fixed += tables + (module.hasOwnBits ? weight.elementCount * module.parameters.bits : 0)
      least += module.hasOwnBits ? 0 : weight.elementCount * BitAllocation.widths[0]
    }
    let budget = Int((bitsPerWeight * Double(weights)).rounded(.down))
    guard budget >= fixed + least else {
      let needed = Double(fixed + least) / Double(max(weights, 1))
      throw PassError.usage(
        "quantize: 'bits_per_weight' is \(bitsPerWeight), but \(BitAllocation.widths[0]) bits with their tables take "
          + "\(needed.formatted(decimals: 2)); tables of bf16 and larger groups take fewer")
    }
    return budget - fixed
  }

  /// Returns the relative squared errors of a weight that the text does not reach.
  private func lossesAlone(
    _ module: String, in input: Checkpoint, _ parameters: QuantizedLayout
  ) throws -> [Double] {
    try BitAllocation.widths.map { bits in
      let packed = try quantizeAlone(module, in: input, ClipSearch(grid: grid(parameters).with(bits: bits)))
        .packed
      return packed.squaredError / max(packed.squaredNorm, .leastNormalMagnitude)
    }
  }
}
