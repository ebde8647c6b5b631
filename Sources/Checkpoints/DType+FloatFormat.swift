package import Kernels

/// The dtypes of floats that weights have, as the kernels know them, and back.
extension FloatFormat {
  /// The arithmetic format of a dtype, or nil for one that is no weight.
  package init?(_ dtype: DType) {
    switch dtype {
    case .f32: self = .f32
    case .f16: self = .f16
    case .bf16: self = .bf16
    default: return nil
    }
  }

  /// The dtype of a tensor that is stored so.
  package var dtype: DType {
    switch self {
    case .f32: .f32
    case .f16: .f16
    case .bf16: .bf16
    }
  }
}
