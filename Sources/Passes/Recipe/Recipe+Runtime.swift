import Checkpoints

/// A program that runs models.
public enum Runtime: String, Sendable, CaseIterable {
  /// This one.
  case rilq
  /// MLX and mlx-lm.
  case mlx
  /// llama.cpp, and what is built on it.
  case llamaCpp = "llama.cpp"

  /// The format that it loads.
  public var format: OutputFormat {
    switch self {
    case .rilq: .rilq
    case .mlx: .mlx
    case .llamaCpp: .gguf
    }
  }
}

extension Recipe {
  /// The bits of linears whose rows are no whole blocks: llama.cpp's Q4_1 holds them.
  private static let fallbackBits = 4

  /// The recipe for a runtime: in its format, with modules quantized on a grid that it holds at its real size.
  ///
  /// For llama.cpp, steps that quantize to 2 to 6 bits with free tables get the super-blocks of these bits, and
  /// those with a budget any. A step with a grid or 8 bits keeps its choice.
  public func targeting(_ runtime: Runtime) -> Recipe {
    Recipe(
      input: input, output: output, outputFormat: runtime.format, variables: variables,
      passes: runtime == .llamaCpp ? passes.map { $0.onSuperBlocks(fallbackBits: Self.fallbackBits) } : passes
    )
  }
}

extension PassOptions {
  /// A quantization with free tables, on the super-blocks of its bits; any other pass as it is.
  fileprivate func onSuperBlocks(fallbackBits: Int) -> PassOptions {
    guard var options = options(of: QuantizePass.self), options.grid == .affine, options.method != .nf2,
      options.embeddingBits != 8,
      let grid = QuantizeGrid.allCases.first(where: { $0.superBlock?.bits == options.bits })
    else { return self }
    // The grid has its own.
    let unset = QuantizeOptions()
    (options.bits, options.groupSize, options.tables) = (unset.bits, unset.groupSize, unset.tables)
    options.grid = grid
    options.fallbackBits = fallbackBits
    return .quantize(options)
  }
}
