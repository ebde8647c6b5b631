import Checkpoints

/// A program that runs models.
public enum Runtime: String, Sendable, CaseIterable {
  /// This one.
  case rilq
  /// MLX and mlx-lm.
  case mlx
  /// llama.cpp, and what is built on it.
  case llamaCpp = "llama.cpp"
  /// GPTQModel, and transformers and SGLang with it.
  case gptq
  /// vLLM.
  case vllm

  /// The format that it loads.
  public var format: OutputFormat {
    switch self {
    case .rilq: .rilq
    case .mlx: .mlx
    case .llamaCpp: .gguf
    case .gptq: .gptq
    case .vllm: .compressedTensors
    }
  }
}

extension Recipe {
  /// The bits of linears whose rows are no whole blocks: llama.cpp's Q4_1 holds them.
  private static let fallbackBits = 4

  /// The recipe for a runtime: in its format, with modules quantized on a grid that it holds at its real size.
  ///
  /// For llama.cpp, steps that quantize to 2 to 6 bits with free tables get the super-blocks of these bits, and
  /// those with a budget any. For GPTQ they get zero points with scales in `F16`, for vLLM symmetric codes with
  /// scales in `BF16`, which every model's dtype holds. A step with a grid or other bits keeps its choice, and
  /// so does one with a budget for GPTQ and vLLM.
  public func targeting(_ runtime: Runtime) -> Recipe {
    Recipe(
      input: input, output: output, outputFormat: runtime.format, variables: variables,
      passes: passes.map { pass in
        switch runtime {
        case .rilq, .mlx: pass
        case .llamaCpp: pass.onSuperBlocks(fallbackBits: Self.fallbackBits)
        case .gptq: pass.withZeroPoints(.zeroPoint, tables: .f16)
        case .vllm: pass.withZeroPoints(.symmetric, tables: .bf16)
        }
      })
  }
}

extension PassOptions {
  /// A quantization with free tables, on the super-blocks of its bits; any other pass as it is.
  fileprivate func onSuperBlocks(fallbackBits: Int) -> PassOptions {
    guard var options = options(of: QuantizePass.self), options.grid == .affine, options.method != .nf2,
      options.embeddingBits != 8,
      let kind = SuperBlock.kTypes.first(where: { $0.bits == options.bits }),
      let grid = QuantizeGrid(rawValue: kind.rawValue)
    else { return self }
    // The grid has its own.
    let unset = QuantizeOptions()
    (options.bits, options.groupSize, options.tables) = (unset.bits, unset.groupSize, unset.tables)
    options.grid = grid
    options.fallbackBits = fallbackBits
    return .quantize(options)
  }

  /// A quantization with free tables on a grid with zero points; any other pass as it is.
  fileprivate func withZeroPoints(_ grid: QuantizeGrid, tables: DType) -> PassOptions {
    guard var options = options(of: QuantizePass.self), options.grid == .affine, options.method != .nf2,
      options.budget == nil
    else { return self }
    (options.grid, options.tables) = (grid, tables)
    // Their programs have no quantized embedding.
    options.embeddingBits = nil
    return .quantize(options)
  }
}
