import Kernels

extension Checkpoint {
  /// The values of a tensor of floats.
  ///
  /// - Parameter name: A tensor of the dtype F32, F16 or BF16.
  /// - Returns: The values, row-major.
  /// - Throws: `FormatError` when there is no such tensor, it has another dtype, or its bytes are damaged.
  public func floats(of name: String) throws -> [Float] {
    guard let tensor = tensor(named: name) else { throw FormatError(path, .missing("tensor '\(name)'")) }
    guard let format = FloatFormat(tensor.dtype) else {
      throw FormatError(
        path, at: "tensor '\(name)'",
        .unsupported("dtype \(tensor.dtype.rawValue) is not a float type; F32, F16 and BF16 are"))
    }
    return try bytes(of: name).withSpan { widened($0, from: format) }
  }
}

extension TensorBytes {
  /// Values of a tensor of floats, each rounded once to nearest, ties to even.
  ///
  /// - Parameters:
  ///   - values: The values, row-major.
  ///   - dtype: F32, F16 or BF16.
  public init(floats values: [Float], as dtype: DType) {
    guard let format = FloatFormat(dtype) else {
      preconditionFailure("\(dtype.rawValue) is no type of floats")
    }
    self.init(narrowed(values, to: format))
  }
}
