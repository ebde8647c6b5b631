import Checkpoints
import Foundation
import Kernels

extension Matrix {
  /// Multiplies each element.
  mutating func multiply(by factor: Float) {
    let columnCount = columnCount
    var span = values.mutableSpan
    parallelRows(of: &span, columnCount: columnCount, rowsPerChunk: 64) { _, part in
      for i in part.indices { part[i] *= factor }
    }
  }

  /// Replaces each element `x` by `cap · tanh(x / cap)`.
  mutating func bound(by cap: Float) {
    let columnCount = columnCount
    var span = values.mutableSpan
    parallelRows(of: &span, columnCount: columnCount, rowsPerChunk: 8) { _, part in
      for i in part.indices { part[i] = cap * tanh(part[i] / cap) }
    }
  }

  /// Multiplies a gradient by the derivative of `bound(by:)`.
  ///
  /// - Parameters:
  ///   - bounded: The result of `bound(by:)`.
  ///   - cap: The bound.
  mutating func multiplyByBoundDerivative(_ bounded: Matrix, cap: Float) {
    for i in values.indices {
      let share = bounded.values[i] / cap
      values[i] *= 1 - share * share
    }
  }

  /// Puts queries, keys and values that stand together for each head side by side: all queries, then all
  /// keys, then all values; or back.
  ///
  /// - Parameters:
  ///   - attention: The heads; as many keys as queries.
  ///   - inverse: Puts those of each head together again.
  /// - Returns: The same columns in the other order.
  func separatingHeads(_ attention: AttentionDescription, inverse: Bool = false) -> Matrix {
    var result = Matrix.unspecified(rows: rowCount, columns: columnCount)
    let (columnCount, headSize, headCount) = (columnCount, attention.headSize, attention.headCount)
    var target = result.values.mutableSpan
    parallelRows(of: &target, columnCount: columnCount, rowsPerChunk: 32) { rows, part in
      for (i, row) in rows.enumerated() {
        let source = values.span.extracting(self.row(row))
        for head in 0..<headCount {
          for kind in 0..<3 {
            let together = (head * 3 + kind) * headSize
            let apart = (kind * headCount + head) * headSize
            let (from, to) = inverse ? (apart, together) : (together, apart)
            for j in 0..<headSize { part[i * columnCount + to + j] = source[from + j] }
          }
        }
      }
    }
    return result
  }
}
