import Checkpoints
import Kernels
import Models

extension QuantizePass {
  /// Estimates the products of the windows' way through the model, of the inputs' moments, and of the codes that
  /// are chosen with these.
  ///
  /// - Parameters:
  ///   - modules: The modules to quantize.
  ///   - input: The checkpoint.
  /// - Returns: Nothing where no windows run through the model.
  /// - Throws: `FormatError` when the configuration is malformed.
  func work(on modules: [String], of input: Checkpoint) throws -> WorkEstimate {
    guard options.hasWindows else { return WorkEstimate() }
    let token = try TokenWork(of: input, length: options.length)
    let tokens = Double(options.samples * options.length)
    // The quantized model's way, and the original's beside it; propagation has whole cross moments.
    let hasOriginal = options.propagation > 0 || options.layerEpochs > 0
    var perToken = (hasOriginal ? 2 : 1) * token.layers + token.moments
    if options.propagation > 0 { perToken += 2 * token.moments }
    // Forward, and back to inputs and to weights.
    perToken += 3 * Double(options.layerEpochs) * token.layers
    if options.budget != nil { perToken += 3 * token.forward }
    return WorkEstimate(tokens * perToken, options.products) + (try rowWork(on: modules, of: input))
  }

  /// In units of n² · m for n inputs and m outputs: GPTQ 1/2, the products of the weights with the moments 1,
  /// each refit 1/2, each sweep 1.
  private func rowWork(on modules: [String], of input: Checkpoint) throws -> WorkEstimate {
    guard options.method == .gptq else { return WorkEstimate() }
    let refits = options.refit ? Double(1 + options.sweeps) : 0
    let units = 0.5 + (options.refit || options.sweeps > 0 ? 1 : 0) + 0.5 * refits + Double(options.sweeps)
    let size = try modules.reduce(0.0) { sum, module in
      let weight = try QuantizableWeight(module, in: input)
      return sum + Double(weight.columnCount) * Double(weight.elementCount)
    }
    return WorkEstimate(2 * units * size, .f32)
  }
}
