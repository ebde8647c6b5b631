/// A number of bytes that is computed from sizes in a file: sums and products that are too large stay at the largest number.
struct MemoryEstimate: Comparable, ExpressibleByIntegerLiteral {
  /// The bytes, at least 0.
  let byteCount: Int

  init(_ byteCount: Int) { self.byteCount = max(byteCount, 0) }

  init(integerLiteral value: Int) { self.init(value) }

  static func < (a: MemoryEstimate, b: MemoryEstimate) -> Bool { a.byteCount < b.byteCount }

  static func + (a: MemoryEstimate, b: MemoryEstimate) -> MemoryEstimate {
    let (sum, isTooLarge) = a.byteCount.addingReportingOverflow(b.byteCount)
    return MemoryEstimate(isTooLarge ? .max : sum)
  }

  static func * (a: MemoryEstimate, b: MemoryEstimate) -> MemoryEstimate {
    let (product, isTooLarge) = a.byteCount.multipliedReportingOverflow(by: b.byteCount)
    return MemoryEstimate(isTooLarge ? .max : product)
  }

  static func * (a: Int, b: MemoryEstimate) -> MemoryEstimate { MemoryEstimate(a) * b }
}

/// The sizes of a model as terms of an estimate.
struct ModelSizes {
  let hidden: MemoryEstimate
  let intermediate: MemoryEstimate
  let layers: MemoryEstimate
  let vocabulary: MemoryEstimate
  /// The width of all query heads, and of what attention gives.
  let queries: MemoryEstimate
  /// The width of all keys, or of all values.
  let keys: MemoryEstimate
  /// The weights of one layer's linears.
  let layerWeights: MemoryEstimate

  /// The wider side of the linears.
  var order: MemoryEstimate { max(hidden, intermediate) }
}
