import CKernels

/// Quantizes rows by rounding to nearest, group by group.
///
/// In each group `bias` is the least weight, `scale` is the range divided by `2^bits - 1`, and a code is
/// `(weight - bias) / max(scale, 1e-12)`, rounded half to even. All in f32, in this order.
///
/// - Parameters:
///   - weights: `[rows, columnCount]`.
///   - bits: 2, 3, 4, 5, 6 or 8.
///   - groupSize: Columns per group: a multiple of 8 that divides `columnCount`.
///   - columnCount: Columns per row.
///   - codes: `[rows, columnCount * bits / 8]`, packed as `packCodes` does.
///   - scales: `[rows, columnCount / groupSize]`.
///   - biases: `[rows, columnCount / groupSize]`.
///   - set: The instructions to use.
/// - Returns: The index of the first weight that is not finite, or of the first weight of a group whose range
///   overflows; nil when there is none. Outputs are not written from that group on.
package func quantizeRoundToNearest(
  _ weights: Span<Float>, bits: Int, groupSize: Int, columnCount: Int, codes: inout MutableSpan<UInt8>,
  scales: inout MutableSpan<Float>, biases: inout MutableSpan<Float>, on set: InstructionSet = .best
) -> Int? {
  let layout = KernelLayout(
    bits: bits, groupSize: groupSize, columnCount: columnCount, rowCount: weights.count / max(columnCount, 1))
  precondition(weights.count % columnCount == 0, "\(weights.count) weights, \(columnCount) columns")
  layout.require(codeBytes: codes.count, scales: scales.count, biases: biases.count)
  let index = unsafe writing(&scales, &biases) { scales, biases in
    unsafe writing(&codes) { codes in
      unsafe reading(weights) { weights in
        unsafe ck_round_to_nearest(set.rawValue, layout.forC, weights, codes, scales, biases)
      }
    }
  }
  return index < 0 ? nil : index
}

/// `quantizeRoundToNearest` as a plain loop, which defines it; codes are not packed.
package func quantizeRoundToNearestReference(
  _ weights: Span<Float>, bits: Int, groupSize: Int, codes: inout MutableSpan<UInt8>,
  scales: inout MutableSpan<Float>, biases: inout MutableSpan<Float>
) -> Int? {
  let top = Float(1 << bits - 1)
  for group in scales.indices {
    let columns = group * groupSize..<(group + 1) * groupSize
    for i in columns where !weights[i].isFinite { return i }
    var (low, high) = (weights[columns.lowerBound], weights[columns.lowerBound])
    for i in columns { (low, high) = (min(low, weights[i]), max(high, weights[i])) }
    // Adding zero turns -0 into +0, because the order of comparing determines which of the two is the
    // minimum.
    (low, high) = (low + 0, high + 0)
    guard (high - low).isFinite else { return columns.lowerBound }
    let scale = (high - low) / top
    scales[group] = scale
    biases[group] = low
    for i in columns {
      let code = ((weights[i] - low) / max(scale, 1e-12)).rounded(.toNearestOrEven)
      codes[i] = UInt8(min(max(code, 0), top))
    }
  }
  return nil
}
