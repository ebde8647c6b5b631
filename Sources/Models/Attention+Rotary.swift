import Checkpoints
package import Kernels

extension Attention {
  /// Rotates queries and keys by their positions, or back, with a table of any heads of the same width.
  ///
  /// - Parameters:
  ///   - qkv: `[tokens, inputWidth]`, whole windows from their first token.
  ///   - rotary: At least as many positions as there are tokens.
  ///   - inverse: Rotates back if true.
  package func turn(_ qkv: inout Matrix, _ rotary: RotaryEmbedding, inverse: Bool) {
    let columnCount = qkv.columnCount
    let turned = description.queryWidth + description.keyValueWidth
    var values = qkv.values.mutableSpan
    parallelRows(of: &values, columnCount: columnCount, rowsPerChunk: 32) { rows, part in
      for (i, row) in rows.enumerated() {
        var heads = part.slice(i * columnCount..<i * columnCount + turned)
        rotary.rotate(&heads, position: row, inverse: inverse)
      }
    }
  }
}
