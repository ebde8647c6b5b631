import Foundation

/// What is done to each value of a tensor before it is written to a GGUF file, in single precision.
enum GGUFTransform: Sendable, Equatable {
  /// Nothing.
  case none
  /// A number is added: 1 where the checkpoint stores the difference of a norm's weights from 1.
  case adding(Float)
  /// `x` becomes `-exp(x)`.
  case negativeExponential

  /// The value in the file.
  func applied(to value: Float) -> Float {
    switch self {
    case .none: value
    case .adding(let offset): value + offset
    case .negativeExponential: Float(-exp(Double(value)))
    }
  }

  /// The value in the checkpoint; NaN for one that cannot have become the value in the file.
  func undone(on value: Float) -> Float {
    switch self {
    case .none: value
    case .adding(let offset): value - offset
    case .negativeExponential: Float(log(-Double(value)))
    }
  }
}

extension ModelTensor {
  /// What is done to the values of the weight.
  var ggufTransform: GGUFTransform {
    if case .norm(let norm) = role { return GGUFTransform(norm, slot) }
    return GGUFTransform(nil, slot)
  }
}

extension GGUFTransform {
  /// What is done to the weights of a norm, or to those of another tensor.
  init(_ norm: NormDescription?, _ slot: TensorSlot) {
    if let norm, norm.offset != 0 {
      self = .adding(norm.offset)
    } else {
      self =
        switch slot.ggufForm.values {
        case .stored: .none
        case .negativeExponential: .negativeExponential
        }
    }
  }
}
