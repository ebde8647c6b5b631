import CKernels

/// Rotates the heads of one position: the first half of a head against its second half.
///
/// `x[j], x[j + half]` become `x[j] cos - x[j + half] sin, x[j + half] cos + x[j] sin`.
///
/// - Parameters:
///   - row: `[heads, headSize]`.
///   - headSize: Even; divides the row.
///   - cosines: `[headSize / 2]`, for this position.
///   - sines: `[headSize / 2]`, for this position.
///   - inverse: Whether to rotate back, as for gradients.
///   - set: The instructions to use.
/// - Source: The halves convention of Hugging Face checkpoints.
package func rotate(
  _ row: inout MutableSpan<Float>, headSize: Int, cosines: Span<Float>, sines: Span<Float>,
  inverse: Bool = false, on set: InstructionSet = .best
) {
  let half = requireHeads(row.count, headSize, cosines.count, sines.count)
  let headCount = row.count / headSize
  unsafe writing(&row) { row in
    unsafe reading(cosines, sines) { cosines, sines in
      unsafe ck_rotate(set.rawValue, row, headCount, half, cosines, sines, inverse ? -1 : 1)
    }
  }
}

/// `rotate` as a plain loop, which defines it.
package func rotateReference(
  _ row: inout MutableSpan<Float>, headSize: Int, cosines: Span<Float>, sines: Span<Float>, inverse: Bool
) {
  let half = requireHeads(row.count, headSize, cosines.count, sines.count)
  for start in stride(from: 0, to: row.count, by: headSize) {
    for j in 0..<half {
      let (a, b) = (row[start + j], row[start + j + half])
      let sine = inverse ? -sines[j] : sines[j]
      let (firstCosine, firstSine) = (a * cosines[j], b * sine)
      let (secondCosine, secondSine) = (b * cosines[j], a * sine)
      row[start + j] = firstCosine - firstSine
      row[start + j + half] = secondCosine + secondSine
    }
  }
}

private func requireHeads(_ count: Int, _ headSize: Int, _ cosines: Int, _ sines: Int) -> Int {
  precondition(
    headSize > 0 && headSize % 2 == 0 && count % headSize == 0, "\(count) values, head size \(headSize)")
  precondition(cosines == headSize / 2 && sines == headSize / 2, "\(cosines) cosines, \(sines) sines")
  return headSize / 2
}
