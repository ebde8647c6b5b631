/// The type of the linears in a GGUF file.
public enum GGUFLinearType: String, Sendable, CaseIterable {
  /// The dtype of a dense linear; for a packed one, the first of Q4_0, Q4_1, Q8_0, Q5_0, Q5_1, Q2_0, the K
  /// types, IQ2_XS and IQ2_S that is exact.
  case auto
  case f32
  case f16
  case bf16
  case q8_0
  case q4_1
  case q2_0
  case q2K = "q2_k"
  case q3K = "q3_k"
  case q4K = "q4_k"
  case q5K = "q5_k"
  case q6K = "q6_k"
  case iq2XS = "iq2_xs"
  case iq2S = "iq2_s"

  /// The type of the tensors, or nil when it is chosen for each tensor.
  var tensorType: GGUFTensorType? {
    switch self {
    case .auto: nil
    case .f32: .f32
    case .f16: .f16
    case .bf16: .bf16
    case .q8_0: .q8_0
    case .q4_1: .q4_1
    case .q2_0: .q2_0
    case .q2K: .q2K
    case .q3K: .q3K
    case .q4K: .q4K
    case .q5K: .q5K
    case .q6K: .q6K
    case .iq2XS: .iq2XS
    case .iq2S: .iq2S
    }
  }
}

/// How a GGUF file is written.
public struct GGUFExportOptions: Sendable, Equatable {
  /// The type of the linears of the layers; a dense embedding and output head keep theirs.
  public var linearType: GGUFLinearType
  /// Whether values may be rounded if the type does not hold them.
  public var isLossy: Bool

  /// Chooses options.
  public init(linearType: GGUFLinearType = .auto, isLossy: Bool = false) {
    self.linearType = linearType
    self.isLossy = isLossy
  }
}
