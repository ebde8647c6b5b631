import CKernels

/// Adds the gradients of scales and biases, computed from the gradient of the weights.
///
/// The gradient of a scale is the sum of `code * gradient` over its group, that of a bias the sum of
/// `gradient`.
///
/// - Parameters:
///   - weightGradient: `[rows, columnCount]`.
///   - codes: Whole rows, packed as `packCodes` does.
///   - bits: 2, 3, 4, 5, 6 or 8.
///   - groupSize: Columns per group: a multiple of 8 that divides `columnCount`.
///   - columnCount: Columns per row.
///   - scaleGradient: `[rows, columnCount / groupSize]`.
///   - biasGradient: `[rows, columnCount / groupSize]`.
///   - set: The instructions to use.
package func reduceByCodes(
  weightGradient: Span<Float>, codes: RawSpan, bits: Int, groupSize: Int, columnCount: Int,
  addTo scaleGradient: inout MutableSpan<Float>, addTo biasGradient: inout MutableSpan<Float>,
  on set: InstructionSet = .best
) {
  let layout = KernelLayout(
    bits: bits, groupSize: groupSize, columnCount: columnCount,
    rowCount: weightGradient.count / max(columnCount, 1))
  precondition(
    weightGradient.count % columnCount == 0, "\(weightGradient.count) gradients, \(columnCount) columns")
  layout.require(codeBytes: codes.byteCount, scales: scaleGradient.count, biases: biasGradient.count)
  unsafe writing(&scaleGradient, &biasGradient) { scaleGradient, biasGradient in
    unsafe reading(weightGradient) { weightGradient in
      unsafe reading(codes) { codes in
        unsafe ck_reduce_by_codes(
          set.rawValue, layout.forC, weightGradient, codes, scaleGradient, biasGradient)
      }
    }
  }
}

/// `reduceByCodes` as a plain loop in double precision, which defines it.
package func reduceByCodesReference(
  weightGradient: Span<Float>, codes: RawSpan, bits: Int, groupSize: Int,
  addTo scaleGradient: inout MutableSpan<Float>, addTo biasGradient: inout MutableSpan<Float>
) {
  for group in scaleGradient.indices {
    var (weighted, plain) = (0.0, 0.0)
    for i in group * groupSize..<(group + 1) * groupSize {
      let gradient = Double(weightGradient[i])
      weighted += Double(code(at: i, bits: bits, in: codes)) * gradient
      plain += gradient
    }
    scaleGradient[group] = Float(Double(scaleGradient[group]) + weighted)
    biasGradient[group] = Float(Double(biasGradient[group]) + plain)
  }
}
