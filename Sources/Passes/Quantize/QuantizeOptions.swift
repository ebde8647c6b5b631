public import Checkpoints
public import Kernels

/// The method that determines the codes, scales and biases of a weight.
public enum QuantizeMethod: String, Sendable, CaseIterable {
  /// Rounds each weight to the nearest code of its group.
  case rtn
  /// Rounds each weight to the nearest code in a range that is clipped at both ends where this lowers the
  /// error.
  case search
  /// Moves the zero points so that most errors are small rather than none large; uses the weights alone.
  case hqq
  /// Rounds each weight to one of four values of a normal distribution and leaves it dense, for comparisons.
  case nf2
  /// Rounds column after column and spreads each error over later columns, by second moments of the input.
  case gptq
}

/// How freely scales and biases are chosen.
public enum QuantizeGrid: String, Sendable, CaseIterable {
  /// Floats for each group.
  case affine
  /// A scale for each group, and the code that stands for zero.
  case zeroPoint = "zero_point"
  /// A scale for each group, and a zero of 1 or 2 among codes of 2 bits.
  case portable
  /// A scale for each group; the middle code stands for zero.
  case symmetric
  /// Blocks of llama.cpp's Q2_K.
  case q2K = "q2_k"
  /// Blocks of llama.cpp's Q3_K.
  case q3K = "q3_k"
  /// Blocks of llama.cpp's Q4_K.
  case q4K = "q4_k"
  /// Blocks of llama.cpp's Q5_K.
  case q5K = "q5_k"
  /// Blocks of llama.cpp's Q6_K.
  case q6K = "q6_k"
  /// Blocks of llama.cpp's IQ2_XS: eight weights at once are a point of a lattice.
  case iq2XS = "iq2_xs"
  /// Blocks of llama.cpp's IQ2_S, whose lattice has twice as many points.
  case iq2S = "iq2_s"

  /// The super-blocks of the grid; nil when each group has a free scale.
  public var superBlock: SuperBlock? { SuperBlock(rawValue: rawValue) }

  /// Which codes stand for zero; nil on other grids.
  public var zeroPoints: ZeroPointGrid? { ZeroPointGrid(rawValue: rawValue) }

  /// The layout of a module; super-blocks have bits and groups of their own.
  func layout(bits: Int, groupSize: Int) -> QuantizedLayout {
    if let superBlock { return .superBlock(superBlock) }
    return zeroPoints.map { .zeroPoint($0, bits: bits, groupSize: groupSize) }
      ?? .affine(bits: bits, groupSize: groupSize)
  }
}

/// The options of the quantize pass.
public struct QuantizeOptions: PassOptionValues {
  /// The numbers of bits that can be packed.
  public static let allowedBits = QuantizedLayout.codeWidths
  /// The group sizes that can be packed.
  public static let allowedGroupSizes = [32, 64, 128]

  /// The method that chooses the codes.
  public var method = QuantizeMethod.rtn
  /// How freely scales and biases are chosen; a grid of super-blocks has its own bits and group size.
  public var grid = QuantizeGrid.affine
  /// The bits, in groups of 32, of modules whose rows are no whole blocks of the grid; nil refuses them.
  public var fallbackBits: Int?
  /// The number of bits per code, one of `allowedBits`.
  public var bits = 2
  /// The number of columns that share a scale and a bias, one of `allowedGroupSizes`.
  public var groupSize = 64
  /// The number of bits per code of the embedding and the output head, one of `allowedBits`; nil leaves them
  /// as they are.
  public var embeddingBits: Int?
  /// The modules to quantize; nil selects all linears of the layers.
  public var targets: [ModulePattern]?
  /// The modules to leave unchanged.
  public var ignore: [ModulePattern] = []
  /// The dtype of the stored scales and biases: f32, f16 or bf16.
  public var tables = DType.f32
  /// The texts whose windows give the statistics of inputs, UTF-8, plain or JSON lines.
  public var texts: TextList<PathOption> = []
  /// The number of windows, at least 1.
  public var samples = 64
  /// The number of windows that the original model generates, at most `samples`.
  public var sampled = 0
  /// The number of tokens per window, at least 2.
  public var length = 512
  /// The seed of the choice of windows.
  public var seed: UInt64 = 1
  /// The damping of GPTQ and propagation, as a share of the moments' mean diagonal, above 0 and at most 1.
  public var damping = 0.01
  /// Whether GPTQ processes columns in the order of decreasing activation.
  public var activationOrder = false
  /// A file with the importance of inputs, instead of windows; nil for none.
  public var importance: PathOption?
  /// The file to write the importance of inputs to; nil for none.
  public var importanceOutput: PathOption?
  /// Whether scales and biases are fitted to the codes by second moments.
  public var refit = false
  /// The number of times that codes are chosen again by second moments; 0 keeps the method's codes.
  public var sweeps = 0
  /// The share of the earlier layers' error that is corrected before a linear is quantized, 0 to 1.
  public var propagation = 0.0
  /// The number of epochs over all windows to train each layer's codes, scales and biases; 0 for no training.
  public var layerEpochs = 0
  /// The number of windows per update of a layer, at least 1.
  public var layerBatch = 1
  /// The peak learning rate of a layer's scales and biases, in units of the step, above 0 and at most 1.
  public var layerLearningRate = 2e-3
  /// The peak learning rate of a layer's codes, in units of the step, at least 0 and at most 1.
  public var layerCodeRate = 1.2e-2
  /// The operands rounded to 16 bits for products with weights and in attention, while the model reads or
  /// generates windows.
  public var products = ProductOperands.f32
  /// Bits and group sizes of some modules; if several match a module, the last one wins.
  public var overrides: [QuantizeOverride] = []
  /// The average bits per weight, including tables, to distribute over the modules by sensitivity; nil gives
  /// every module `bits`.
  public var bitsPerWeight: Double?
  /// The average bits of all parameters of the checkpoint, distributed likewise, with the embedding and the
  /// output head among the modules.
  public var bitsPerParameter: Double?
  /// The bytes of all tensors of the checkpoint, distributed like `bitsPerParameter`.
  public var size: Int?

  /// Every option has its default.
  public init() {}
}

extension QuantizeOptions {
  /// The bits to distribute by sensitivity; nil when every module has `bits`.
  var budget: BitBudget? {
    bitsPerWeight.map { .perWeight($0) } ?? bitsPerParameter.map { .perParameter($0) }
      ?? size.map { .bytes($0) }
  }

  /// The layout of the embedding and the output head; nil when they are left as they are.
  var embeddingLayout: QuantizedLayout? {
    embeddingBits.map { bits in
      if grid.superBlock != nil, let kind = SuperBlock.kTypes.first(where: { $0.bits == bits }) {
        return .superBlock(kind)
      }
      // Portable codes have 2 bits.
      let own = grid == .portable && bits != 2 ? .zeroPoint : grid
      return own.layout(bits: bits, groupSize: groupSize)
    }
  }

  /// Whether windows run through the model.
  var hasWindows: Bool { !texts.isEmpty || sampled > 0 }

  /// The requested windows.
  var windowSource: WindowSource {
    WindowSource(
      texts: texts.mapPaths(\.resolved), samples: samples, sampled: sampled, length: length, seed: seed,
      products: products)
  }
}
