import CKernels

/// Rotates the heads of one position: the first half of a head's turning columns against the second half.
///
/// `x[j], x[j + half]` become `x[j] cos - x[j + half] sin, x[j + half] cos + x[j] sin`. Columns of a head from
/// `2 * half` on stay.
///
/// - Parameters:
///   - row: `[heads, headSize]`.
///   - headSize: Divides the row.
///   - cosines: `[half]`, for this position; at most half a head.
///   - sines: `[half]`, for this position.
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
      unsafe ck_rotate(set.rawValue, row, headCount, headSize, half, cosines, sines, inverse ? -1 : 1)
    }
  }
}

/// Rotates the heads of one position: each even column of a head against the odd one after it.
///
/// `x[2 j], x[2 j + 1]` become `x[2 j] cos - x[2 j + 1] sin, x[2 j + 1] cos + x[2 j] sin`. Columns of a head
/// from `2 * half` on stay. The parameters are those of `rotate`.
package func rotateNeighbours(
  _ row: inout MutableSpan<Float>, headSize: Int, cosines: Span<Float>, sines: Span<Float>,
  inverse: Bool = false, on set: InstructionSet = .best
) {
  let half = requireHeads(row.count, headSize, cosines.count, sines.count)
  let headCount = row.count / headSize
  unsafe writing(&row) { row in
    unsafe reading(cosines, sines) { cosines, sines in
      unsafe ck_rotate_neighbours(
        set.rawValue, row, headCount, headSize, half, cosines, sines, inverse ? -1 : 1)
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
      rotatePair(&row, start + j, start + j + half, cosines[j], inverse ? -sines[j] : sines[j])
    }
  }
}

/// `rotateNeighbours` as a plain loop, which defines it.
package func rotateNeighboursReference(
  _ row: inout MutableSpan<Float>, headSize: Int, cosines: Span<Float>, sines: Span<Float>, inverse: Bool
) {
  let half = requireHeads(row.count, headSize, cosines.count, sines.count)
  for start in stride(from: 0, to: row.count, by: headSize) {
    for j in 0..<half {
      rotatePair(&row, start + 2 * j, start + 2 * j + 1, cosines[j], inverse ? -sines[j] : sines[j])
    }
  }
}

private func rotatePair(_ x: inout MutableSpan<Float>, _ i: Int, _ j: Int, _ cosine: Float, _ sine: Float) {
  let (a, b) = (x[i], x[j])
  let (firstCosine, firstSine) = (a * cosine, b * sine)
  let (secondCosine, secondSine) = (b * cosine, a * sine)
  x[i] = firstCosine - firstSine
  x[j] = secondCosine + secondSine
}

private func requireHeads(_ count: Int, _ headSize: Int, _ cosines: Int, _ sines: Int) -> Int {
  precondition(headSize > 0 && count % headSize == 0, "\(count) values, head size \(headSize)")
  precondition(
    cosines == sines && 2 * cosines <= headSize,
    "\(cosines) cosines, \(sines) sines, head size \(headSize)")
  return cosines
}
