package import Kernels

extension Attention {
  /// Rotates queries and keys by their positions, or back.
  ///
  /// - Parameters:
  ///   - qkv: `[tokens, inputWidth]`, whole windows from their first token.
  ///   - rotary: At least as many positions as there are tokens.
  ///   - inverse: Rotates back if true.
  package func turn(_ qkv: inout Matrix, _ rotary: RotaryEmbedding, inverse: Bool) {
    precondition(rotary.cosines.count >= qkv.rowCount * rotary.half, "too few positions")
    let columnCount = qkv.columnCount
    let headSize = headSize
    let turned = (headCount + keyValueHeadCount) * headSize
    var values = qkv.values.mutableSpan
    parallelRows(of: &values, columnCount: columnCount, rowsPerChunk: 32) { rows, part in
      for (i, row) in rows.enumerated() {
        var heads = part.slice(i * columnCount..<i * columnCount + turned)
        let angles = row * rotary.half..<(row + 1) * rotary.half
        rotate(
          &heads, headSize: headSize, cosines: rotary.cosines.span.extracting(angles),
          sines: rotary.sines.span.extracting(angles), inverse: inverse)
      }
    }
  }
}
