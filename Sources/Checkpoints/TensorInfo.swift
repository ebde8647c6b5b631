/// What a tensor is, without its values.
public struct TensorInfo: Sendable, Equatable {
  /// The name, verbatim as in the file.
  public let name: String
  /// The element type.
  public let dtype: DType
  /// The dimensions, slowest first.
  public let shape: [Int]
  /// The product of the dimensions.
  public let elementCount: Int
  /// The size of the values, without padding.
  public let byteCount: Int

  /// Describes a tensor whose size is known to be representable; `init(checking:)` takes any numbers.
  package init(name: String, dtype: DType, shape: [Int]) {
    guard let info = TensorInfo(checking: name, dtype: dtype, shape: shape) else {
      preconditionFailure("tensor '\(name)': shape \(shape) overflows or is not whole bytes")
    }
    self = info
  }

  /// Describes a tensor from untrusted numbers.
  ///
  /// Nil when a dimension is negative, when the product of the dimensions (zeros left out) or its size
  /// in bits overflows, or when the bits do not fill whole bytes.
  public init?(checking name: String, dtype: DType, shape: [Int]) {
    var product = 1
    for dimension in shape {
      guard dimension >= 0 else { return nil }
      let (next, overflow) = product.multipliedReportingOverflow(by: max(dimension, 1))
      guard !overflow else { return nil }
      product = next
    }
    let count = shape.contains(0) ? 0 : product
    let (bits, overflow) = count.multipliedReportingOverflow(by: dtype.bitWidth)
    guard !overflow, bits % 8 == 0 else { return nil }
    self.name = name
    self.dtype = dtype
    self.shape = shape
    elementCount = count
    byteCount = bits / 8
  }
}
