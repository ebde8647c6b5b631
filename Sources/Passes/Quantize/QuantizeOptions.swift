public import Checkpoints

/// How the codes, scales and biases of a weight are found.
public enum QuantizeMethod: String, Sendable, CaseIterable {
  /// Rounds each weight to the nearest code of its group.
  case rtn
}

/// What the quantize pass does.
public struct QuantizeOptions: Sendable, Equatable {
  /// The widths of a code that can be packed.
  public static let allowedBits = [2, 3, 4, 8]
  /// The group sizes that can be packed.
  public static let allowedGroupSizes = [32, 64, 128]

  /// How the codes are found.
  public var method: QuantizeMethod
  /// The width of a code, one of `allowedBits`.
  public var bits: Int
  /// The columns that share a scale and a bias, one of `allowedGroupSizes`.
  public var groupSize: Int
  /// The modules to quantize; nil takes all linears of the layers.
  public var targets: [ModulePattern]?
  /// The modules to leave as they are.
  public var ignore: [ModulePattern]
  /// The dtype of the stored scales and biases: f32, f16 or bf16.
  public var tables: DType

  /// Takes the values that differ from the defaults.
  public init(
    method: QuantizeMethod = .rtn, bits: Int = 2, groupSize: Int = 64, targets: [ModulePattern]? = nil,
    ignore: [ModulePattern] = [], tables: DType = .f32
  ) {
    self.method = method
    self.bits = bits
    self.groupSize = groupSize
    self.targets = targets
    self.ignore = ignore
    self.tables = tables
  }
}
