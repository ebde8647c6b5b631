import CKernels

/// The factors by which the clip search shrinks either end of a group's range: 1, 0.95, … 0.4.
package let clippingFactors: [Float] = (0...12).map { Float(1 - 0.05 * Double($0)) }

/// Finds the scale and bias of each group by clipping both ends of its range.
///
/// Tries every pair of factors with `bias = low · c` and
/// `scale = max((high · r - bias) / (2^bits - 1), 1e-8)`. Keeps the first pair with the least error, the sum
/// of `importance · (rounded - weight)²` over the group. All in f32.
///
/// Source: the two-sided search of BitDistiller, arXiv:2402.10631, on the weights instead of the output.
///
/// - Parameters:
///   - weights: `[rows, columnCount]`, finite.
///   - importance: `[columnCount]`, at least 0.
///   - bits: 2, 3, 4, 5, 6 or 8.
///   - groupSize: Columns per group: a multiple of 8 that divides `columnCount`.
///   - columnCount: Columns per row.
///   - scales: `[rows, columnCount / groupSize]`.
///   - biases: `[rows, columnCount / groupSize]`.
///   - set: The instructions to use.
package func searchClipping(
  _ weights: Span<Float>, importance: Span<Float>, bits: Int, groupSize: Int, columnCount: Int,
  scales: inout MutableSpan<Float>, biases: inout MutableSpan<Float>, on set: InstructionSet = .best
) {
  let layout = KernelLayout(
    bits: bits, groupSize: groupSize, columnCount: columnCount, rowCount: weights.count / max(columnCount, 1))
  precondition(
    weights.count % columnCount == 0 && importance.count == columnCount,
    "\(weights.count) weights, \(importance.count) importances, \(columnCount) columns")
  layout.require(tables: scales.count, biases.count)
  unsafe writing(&scales, &biases) { scales, biases in
    unsafe reading(weights, importance, clippingFactors.span) { weights, importance, factors in
      let clipping = unsafe ck_clipping(count: Int32(clippingFactors.count), factors: factors)
      unsafe ck_search_clipping(set.rawValue, layout.forC, weights, importance, clipping, scales, biases)
    }
  }
}

/// `searchClipping` as a plain loop, which defines it up to the order of the sums.
package func searchClippingReference(
  _ weights: Span<Float>, importance: Span<Float>, bits: Int, groupSize: Int,
  scales: inout MutableSpan<Float>, biases: inout MutableSpan<Float>
) {
  let top = Float(1 << bits - 1)
  for group in scales.indices {
    let columns = group * groupSize..<(group + 1) * groupSize
    let (low, high) = columns.reduce((Float.infinity, -Float.infinity)) {
      (min($0.0, weights[$1]), max($0.1, weights[$1]))
    }
    var least = Float.infinity
    for r in clippingFactors {
      for c in clippingFactors {
        let bias = low * c
        let scale = max((high * r - bias) / top, 1e-8)
        var error: Float = 0
        for i in columns {
          let code = min(max((weights[i] - bias) / scale, 0), top).rounded(.toNearestOrEven)
          let product = code * scale
          let difference = product + bias - weights[i]
          error += difference * difference * importance[i % importance.count]
        }
        guard error < least else { continue }
        (least, scales[group], biases[group]) = (error, scale, bias)
      }
    }
  }
}

/// Rounds weights to the nearest code of their groups' scales and biases; codes are not packed.
///
/// - Parameters:
///   - weights: `[rows, columnCount]`, finite.
///   - bits: 2, 3, 4, 5, 6 or 8.
///   - groupSize: Columns per group: a multiple of 8 that divides `columnCount`.
///   - columnCount: Columns per row.
///   - scales: `[rows, columnCount / groupSize]`; a scale below 1e-12 in size counts as 1e-12.
///   - biases: `[rows, columnCount / groupSize]`.
///   - codes: `[rows, columnCount]`.
///   - set: The instructions to use.
package func roundToGrid(
  _ weights: Span<Float>, bits: Int, groupSize: Int, columnCount: Int, scales: Span<Float>,
  biases: Span<Float>, codes: inout MutableSpan<UInt8>, on set: InstructionSet = .best
) {
  let layout = KernelLayout(
    bits: bits, groupSize: groupSize, columnCount: columnCount, rowCount: weights.count / max(columnCount, 1))
  precondition(
    weights.count % columnCount == 0 && codes.count == weights.count,
    "\(weights.count) weights, \(codes.count) codes, \(columnCount) columns")
  layout.require(tables: scales.count, biases.count)
  unsafe writing(&codes) { codes in
    unsafe reading(weights, scales, biases) { weights, scales, biases in
      unsafe ck_round_to_grid(set.rawValue, layout.forC, weights, scales, biases, codes)
    }
  }
}
