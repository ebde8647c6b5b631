public import Checkpoints
public import Kernels

/// How the codes, scales and biases of a weight are found.
public enum QuantizeMethod: String, Sendable, CaseIterable {
  /// Rounds each weight to the nearest code of its group.
  case rtn
  /// Rounds each weight to the nearest code of a range whose ends are clipped where that lowers the error.
  case search
  /// Moves the zero points so that most errors are small rather than none large; looks at the weights alone.
  case hqq
  /// Rounds each weight to one of four values of a normal distribution and leaves it dense, for comparisons.
  case nf2
  /// Rounds column after column and spreads each error over the columns that follow, by second moments of the input.
  case gptq
}

/// What the quantize pass does.
public struct QuantizeOptions: PassOptionValues {
  /// The widths of a code that can be packed.
  public static let allowedBits = QuantizedLayout.codeWidths
  /// The group sizes that can be packed.
  public static let allowedGroupSizes = [32, 64, 128]

  /// How the codes are found.
  public var method = QuantizeMethod.rtn
  /// The width of a code, one of `allowedBits`.
  public var bits = 2
  /// The columns that share a scale and a bias, one of `allowedGroupSizes`.
  public var groupSize = 64
  /// The modules to quantize; nil takes all linears of the layers.
  public var targets: [ModulePattern]?
  /// The modules to leave as they are.
  public var ignore: [ModulePattern] = []
  /// The dtype of the stored scales and biases: f32, f16 or bf16.
  public var tables = DType.f32
  /// The texts whose windows go through the model for the statistics of inputs, UTF-8, plain or JSON lines.
  public var texts: [PathOption] = []
  /// The windows, at least 1.
  public var samples = 64
  /// The windows that the original model writes itself, at most `samples`.
  public var sampled = 0
  /// The tokens a window, at least 2.
  public var length = 512
  /// The seed of the choice of windows.
  public var seed: UInt64 = 1
  /// The share of the moments' mean diagonal that GPTQ and propagation add to the diagonal, above 0 and at most 1.
  public var damping = 0.01
  /// Whether GPTQ takes columns in the order of decreasing activation.
  public var activationOrder = false
  /// A file with the importance of inputs, in place of windows; nil for none.
  public var importance: PathOption?
  /// The file that the importance of inputs is written to; nil for none.
  public var importanceOutput: PathOption?
  /// Whether scales and biases are fitted to the codes by second moments.
  public var refit = false
  /// How often codes are chosen again by second moments; 0 to keep the method's.
  public var sweeps = 0
  /// The share of the earlier layers' error that a linear is corrected for before it is quantized, 0 to 1.
  public var propagation = 0.0
  /// How often each layer's codes, scales and biases are trained on all windows for the layer's output; 0 leaves them.
  public var layerEpochs = 0
  /// The windows of one update of a layer, at least 1.
  public var layerBatch = 4
  /// The peak step size of a layer's scales and biases, in units of the step, above 0 and at most 1.
  public var layerLearningRate = 2e-3
  /// The peak step size of a layer's codes, in units of the step, at least 0 and at most 1.
  public var layerCodeRate = 2e-2
  /// What is rounded to 16 bits for products with weights and in attention, while windows go through the model or are written by it.
  public var products = ProductOperands.f32
  /// Bits and group sizes of some modules; if several match a module, the last one wins.
  public var overrides: [QuantizeOverride] = []
  /// The bits of a weight, codes and tables, that are distributed over the modules by their sensitivity; nil gives all
  /// of them `bits`.
  public var bitsPerWeight: Double?

  /// Every option has its default.
  public init() {}
}

extension QuantizeOptions {
  /// Whether windows go through the model.
  var hasWindows: Bool { !texts.isEmpty || sampled > 0 }

  /// The windows that are asked for.
  var windowSource: WindowSource {
    WindowSource(
      texts: texts.map(\.resolved), samples: samples, sampled: sampled, length: length, seed: seed,
      products: products)
  }
}
