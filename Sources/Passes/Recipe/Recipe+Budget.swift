extension Recipe {
  /// The recipe with a budget for its first quantization to codes, in place of fixed bits; the embedding and
  /// the output head take part.
  ///
  /// - Parameters:
  ///   - size: The bytes of all tensors; nil for none.
  ///   - bitsPerParameter: The average bits of all parameters, above 0 and at most 16; nil for none.
  /// - Returns: The recipe; the same one without a budget.
  /// - Throws: `PassError.usage` when both are given, when nothing is quantized to codes, or when the step has
  ///   no windows to measure sensitivity with.
  public func distributing(size: Int?, bitsPerParameter: Double?) throws -> Recipe {
    guard size != nil || bitsPerParameter != nil else { return self }
    let flag = size == nil ? "--bits-per-parameter" : "--size"
    guard size == nil || bitsPerParameter == nil else {
      throw PassError.usage("--size and --bits-per-parameter are two budgets; leave out one")
    }
    if let bitsPerParameter, !(bitsPerParameter > 0 && bitsPerParameter <= 16) {
      throw PassError.usage("\(flag) \(bitsPerParameter): is not a number above 0 and at most 16")
    }
    var steps = passes
    for index in steps.indices {
      guard var options = steps[index].options(of: QuantizePass.self), options.method != .nf2 else {
        continue
      }
      guard options.hasWindows else {
        throw PassError.usage("\(flag): the recipe quantizes without windows, by which bits are distributed")
      }
      (options.bits, options.embeddingBits) = (QuantizeOptions().bits, nil)
      (options.bitsPerWeight, options.bitsPerParameter, options.size) = (nil, bitsPerParameter, size)
      steps[index] = .quantize(options)
      return Recipe(
        input: input, output: output, outputFormat: outputFormat, variables: variables, passes: steps)
    }
    throw PassError.usage("\(flag): the recipe quantizes nothing to codes")
  }
}
