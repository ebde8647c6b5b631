/// A number of bytes computed from sizes in a file; sums and products saturate at the largest integer.
struct MemoryEstimate: Comparable, ExpressibleByIntegerLiteral {
  /// The number of bytes, at least 0.
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
  /// The width of all query heads, and of the output of attention.
  let queries: MemoryEstimate
  /// The width of all keys, and of all values.
  let keys: MemoryEstimate
  /// The number of weights in one layer's linears.
  let layerWeights: MemoryEstimate

  /// The larger of the hidden and the intermediate size.
  var order: MemoryEstimate { max(hidden, intermediate) }
}
