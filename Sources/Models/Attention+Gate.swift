import Kernels

extension Matrix {
  /// Multiplies each element by the sigmoid of a gate.
  ///
  /// - Parameters:
  ///   - gates: `[rows, any]`.
  ///   - start: The column of the first gate.
  func gated(byColumnsOf gates: Matrix, from start: Int) -> Matrix {
    var result = self
    let columnCount = columnCount
    var values = result.values.mutableSpan
    parallelRows(of: &values, columnCount: columnCount, rowsPerChunk: 32) { rows, part in
      ScratchPool.shared.withScratch(columnCount) { shares in
        for (i, row) in rows.enumerated() {
          let first = row * gates.columnCount + start
          sigmoid(gates.values.span.extracting(first..<first + columnCount), into: &shares)
          for j in 0..<columnCount { part[i * columnCount + j] *= shares[j] }
        }
      }
    }
    return result
  }
}

extension Attention {
  /// Computes the gradient of queries, keys, values and gates.
  ///
  /// - Parameters:
  ///   - x: Queries, keys, values and gates, `[tokens, inputWidth + heads · headSize]`.
  ///   - gradient: The gradient of the gated result, `[tokens, heads · headSize]`.
  /// - Returns: `[tokens, inputWidth + heads · headSize]`.
  func gatedBackward(_ x: Matrix, gradient: Matrix) -> Matrix {
    let attended = forward(x)
    let inner = backward(x, gradient: gradient.gated(byColumnsOf: x, from: inputWidth))
    let (start, width) = (inputWidth, gradient.columnCount)
    var result = Matrix.unspecified(rows: x.rowCount, columns: start + width)
    var values = result.values.mutableSpan
    parallelRows(of: &values, columnCount: start + width, rowsPerChunk: 32) { rows, part in
      ScratchPool.shared.withScratch(width) { shares in
        for (i, row) in rows.enumerated() {
          let source = inner.values.span.extracting(inner.row(row))
          var target = part.slice(i * (start + width)..<(i + 1) * (start + width))
          for j in source.indices { target[j] = source[j] }
          let first = row * x.columnCount + start
          sigmoid(x.values.span.extracting(first..<first + width), into: &shares)
          for j in 0..<width {
            let slope = shares[j] * (1 - shares[j])
            target[start + j] = gradient.values[row * width + j] * attended.values[row * width + j] * slope
          }
        }
      }
    }
    return result
  }
}
