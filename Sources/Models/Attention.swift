package import Kernels

/// Causal grouped-query attention over one window, forward and backward.
///
/// Works on one matrix of queries, keys and values side by side, `[tokens, (heads + 2 · key-value heads) · headSize]`,
/// queries and keys already turned. Scores exist for one head and one block of queries at a time.
package struct Attention: Sendable {
  /// The number of query heads.
  package let headCount: Int
  /// The number of key and value heads; divides `headCount`.
  package let keyValueHeadCount: Int
  /// The width of a head.
  package let headSize: Int
  /// What queries, keys, values, probabilities and gradients are rounded to for their products; with cached keys they are
  /// multiplied as they are.
  package var operands = ProductOperands.f32

  private static let queriesPerBlock = 128

  var scale: Float { 1 / Float(headSize).squareRoot() }
  private var queryWidth: Int { headCount * headSize }
  private var keyValueWidth: Int { keyValueHeadCount * headSize }
  /// The width of queries, keys and values together.
  package var inputWidth: Int { queryWidth + 2 * keyValueWidth }

  package init(headCount: Int, keyValueHeadCount: Int, headSize: Int) {
    self.headCount = headCount
    self.keyValueHeadCount = keyValueHeadCount
    self.headSize = headSize
  }

  private func queryColumns(_ head: Int) -> Range<Int> { head * headSize..<(head + 1) * headSize }

  private func keyColumns(_ head: Int) -> Range<Int> {
    let start = queryWidth + head / (headCount / keyValueHeadCount) * headSize
    return start..<start + headSize
  }

  private func valueColumns(_ head: Int) -> Range<Int> {
    let keys = keyColumns(head)
    return keys.lowerBound + keyValueWidth..<keys.upperBound + keyValueWidth
  }

  /// The weighted values of every head.
  ///
  /// - Parameter qkv: `[tokens, inputWidth]`.
  /// - Returns: `[tokens, heads · headSize]`.
  package func forward(_ qkv: Matrix) -> Matrix {
    let tokens = qkv.rowCount
    var output = Matrix.unspecified(rows: tokens, columns: queryWidth)
    let layout = output.layout
    let blocks = blockRanges(tokens)
    var values = output.values.mutableSpan
    parallelTiles(of: &values, count: headCount * blocks.count) { task, output in
      // The longest blocks come first, so that the last ones to finish are short.
      let rows = blocks[blocks.count - 1 - task / headCount]
      let head = task % headCount
      ScratchPool.shared.withScratch(rows.count * rows.upperBound) { scores in
        let scoreLayout = probabilities(qkv, head: head, rows: rows, into: &scores)
        multiply(
          .plain, scores.span, scoreLayout, qkv.values.span,
          qkv.layout[0..<rows.upperBound, valueColumns(head)],
          into: &output, layout[rows, queryColumns(head)], operands: operands)
      }
    }
    return output
  }

  private func blockRanges(_ tokens: Int) -> [Range<Int>] {
    stride(from: 0, to: tokens, by: Self.queriesPerBlock).map { $0..<min($0 + Self.queriesPerBlock, tokens) }
  }

  /// Attention probabilities of a block of queries to the keys up to its last one, `[rows, rows.upperBound]`.
  private func probabilities(
    _ qkv: Matrix, head: Int, rows: Range<Int>, into scores: inout MutableSpan<Float>
  ) -> MatrixLayout {
    let layout = MatrixLayout(rows: rows.count, columns: rows.upperBound)
    multiply(
      .transposedRight, qkv.values.span, qkv.layout[rows, queryColumns(head)], qkv.values.span,
      qkv.layout[0..<rows.upperBound, keyColumns(head)], into: &scores, layout,
      operands: operands)
    for (i, token) in rows.enumerated() {
      var row = scores._mutatingExtracting(i * layout.columnCount..<(i + 1) * layout.columnCount)
      _ = softmax(&row, validCount: token + 1, scale: scale)
    }
    return layout
  }

  /// The gradient of queries, keys and values.
  ///
  /// - Parameters:
  ///   - qkv: What `forward` was given.
  ///   - gradient: The gradient of its result, `[tokens, heads · headSize]`.
  /// - Returns: `[tokens, inputWidth]`.
  package func backward(_ qkv: Matrix, gradient: Matrix) -> Matrix {
    let tokens = qkv.rowCount
    // Each query head has keys and values of its own here, summed afterwards: `[tokens, heads · 3 · headSize]`.
    var perHead = Matrix(rows: tokens, columns: 3 * queryWidth)
    let layout = perHead.layout
    var values = perHead.values.mutableSpan
    parallelTiles(of: &values, count: headCount) { head, perHead in
      for rows in blockRanges(tokens) {
        backwardBlock(qkv, gradient, head: head, rows: rows, into: &perHead, layout)
      }
    }
    return summedOverSharedHeads(perHead)
  }

  private func backwardBlock(
    _ qkv: Matrix, _ gradient: Matrix, head: Int, rows: Range<Int>, into perHead: inout MutableSpan<Float>,
    _ layout: MatrixLayout
  ) {
    let seen = 0..<rows.upperBound
    let start = head * 3 * headSize
    let columns = (0..<3).map { start + $0 * headSize..<start + ($0 + 1) * headSize }
    let output = gradient.layout[rows, queryColumns(head)]
    ScratchPool.shared.withScratch(rows.count * seen.count) { p in
      let scoreLayout = probabilities(qkv, head: head, rows: rows, into: &p)
      multiply(
        .transposedLeft, p.span, scoreLayout, gradient.values.span, output, keep: 1, into: &perHead,
        layout[seen, columns[2]], operands: operands)
      ScratchPool.shared.withScratch(rows.count * seen.count) { ds in
        multiply(
          .transposedRight, gradient.values.span, output, qkv.values.span,
          qkv.layout[seen, valueColumns(head)],
          into: &ds, scoreLayout, operands: operands)
        for i in 0..<rows.count {
          let row = i * seen.count..<(i + 1) * seen.count
          var gradientRow = ds._mutatingExtracting(row)
          softmaxBackward(probabilities: p.span.extracting(row), gradient: &gradientRow, scale: scale)
        }
        multiply(
          .plain, ds.span, scoreLayout, qkv.values.span, qkv.layout[seen, keyColumns(head)], into: &perHead,
          layout[rows, columns[0]], operands: operands)
        multiply(
          .transposedLeft, ds.span, scoreLayout, qkv.values.span, qkv.layout[rows, queryColumns(head)],
          keep: 1,
          into: &perHead, layout[seen, columns[1]], operands: operands)
      }
    }
  }

  private func summedOverSharedHeads(_ perHead: Matrix) -> Matrix {
    var sum = Matrix(rows: perHead.rowCount, columns: inputWidth)
    let headSize = self.headSize
    var values = sum.values.mutableSpan
    parallelRows(of: &values, columnCount: inputWidth, rowsPerChunk: 32) { rows, part in
      for (i, row) in rows.enumerated() {
        for head in 0..<headCount {
          let targets = [queryColumns(head), keyColumns(head), valueColumns(head)]
          for (k, target) in targets.enumerated() {
            let source = row * perHead.columnCount + (head * 3 + k) * headSize
            var slice = part._mutatingExtracting(
              i * inputWidth + target.lowerBound..<i * inputWidth + target.upperBound)
            addScaled(perHead.values.span.extracting(source..<source + headSize), scale: 1, to: &slice)
          }
        }
      }
    }
    return sum
  }
}
