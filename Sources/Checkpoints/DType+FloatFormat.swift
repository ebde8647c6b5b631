package import Kernels

/// Conversions between the dtypes of weights and the float formats of the kernels.
extension FloatFormat {
  /// The arithmetic format of a dtype, or nil for a dtype that weights cannot have.
  package init?(_ dtype: DType) {
    switch dtype {
    case .f32: self = .f32
    case .f16: self = .f16
    case .bf16: self = .bf16
    default: return nil
    }
  }

  /// The dtype of a tensor with this format.
  package var dtype: DType {
    switch self {
    case .f32: .f32
    case .f16: .f16
    case .bf16: .bf16
    }
  }
}
