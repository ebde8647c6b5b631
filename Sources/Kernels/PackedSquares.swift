import CKernels

/// The squared norms of the difference between packed and original weights, and of the original weights.
///
/// Sums are in f32 within a group and in double precision over the groups.
///
/// - Parameters:
///   - weights: `[rows, columnCount]`.
///   - codes: Whole rows, packed as `packCodes` does.
///   - bits: 2, 3, 4, 5, 6 or 8.
///   - groupSize: Columns per group: a multiple of 8 that divides `columnCount`.
///   - columnCount: Columns per row.
///   - scales: `[rows, columnCount / groupSize]`.
///   - biases: `[rows, columnCount / groupSize]`.
///   - set: The instructions to use.
/// - Returns: Both sums.
package func packedSquares(
  _ weights: Span<Float>, codes: RawSpan, bits: Int, groupSize: Int, columnCount: Int, scales: Span<Float>,
  biases: Span<Float>, on set: InstructionSet = .best
) -> (error: Double, norm: Double) {
  let layout = KernelLayout(
    bits: bits, groupSize: groupSize, columnCount: columnCount, rowCount: weights.count / max(columnCount, 1))
  precondition(weights.count % columnCount == 0, "\(weights.count) weights, \(columnCount) columns")
  layout.require(codeBytes: codes.byteCount, scales: scales.count, biases: biases.count)
  let squares = unsafe reading(weights, scales, biases) { weights, scales, biases in
    unsafe reading(codes) { codes in
      unsafe ck_packed_squares(set.rawValue, layout.forC, weights, codes, scales, biases)
    }
  }
  return (squares.error, squares.norm)
}

/// `packedSquares` as a plain loop in double precision, which defines it.
package func packedSquaresReference(
  _ weights: Span<Float>, codes: RawSpan, bits: Int, groupSize: Int, scales: Span<Float>, biases: Span<Float>
) -> (error: Double, norm: Double) {
  var (error, norm) = (0.0, 0.0)
  for i in weights.indices {
    let (scale, bias) = (Double(scales[i / groupSize]), Double(biases[i / groupSize]))
    let difference = Double(code(at: i, bits: bits, in: codes)) * scale + bias - Double(weights[i])
    error += difference * difference
    norm += Double(weights[i]) * Double(weights[i])
  }
  return (error, norm)
}
