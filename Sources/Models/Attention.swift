package import Kernels

/// Causal grouped-query attention over one window, forward and backward.
///
/// Works on one matrix of queries, keys and values side by side, `[tokens, (heads + 2 · key-value heads) ·
/// headSize]`, with queries and keys already rotated. Scores exist for one head and one block of queries at a
/// time.
package struct Attention: Sendable {
  /// The number of query heads.
  package let headCount: Int
  /// The number of key and value heads; divides `headCount`.
  package let keyValueHeadCount: Int
  /// The width of a head.
  package let headSize: Int
  /// The precision to which queries, keys, values, probabilities and gradients are rounded for their
  /// products.
  ///
  /// Products with cached keys use unrounded values.
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

  /// Computes the weighted values of every head.
  ///
  /// - Parameter qkv: `[tokens, inputWidth]`.
  /// - Returns: `[tokens, heads · headSize]`.
  package func forward(_ qkv: Matrix) -> Matrix {
    let tokens = qkv.rowCount
    var output = Matrix.unspecified(rows: tokens, columns: queryWidth)
    // The longest blocks come first, so that the last ones to finish are short.
    let tiles = blockRanges(tokens).reversed().flatMap { rows in
      (0..<headCount).map { MatrixTile(rows: rows, columns: queryColumns($0)) }
    }
    var whole = output.mutableView
    parallelTiles(of: &whole, tiles) { index, output in
      let rows = tiles[index].rows
      let head = Head(index % headCount, of: self, qkv, rows: rows)
      ScratchPool.shared.withMatrix(rows: rows.count, columns: rows.upperBound) { p in
        probabilities(of: head, into: &p)
        multiply(p.view, head.values, into: &output, operands: operands)
      }
    }
    return output
  }

  private func blockRanges(_ tokens: Int) -> [Range<Int>] {
    stride(from: 0, to: tokens, by: Self.queriesPerBlock).map { $0..<min($0 + Self.queriesPerBlock, tokens) }
  }

  /// The inputs of one head: some of its queries, and the keys and values up to the last of them.
  private struct Head: ~Escapable {
    /// `[rows, headSize]`.
    let queries: MatrixView<Float>
    /// `[rows.upperBound, headSize]`.
    let keys: MatrixView<Float>
    /// `[rows.upperBound, headSize]`.
    let values: MatrixView<Float>
    let rows: Range<Int>

    @_lifetime(borrow qkv)
    init(_ head: Int, of attention: Attention, _ qkv: borrowing Matrix, rows: Range<Int>) {
      let seen = 0..<rows.upperBound
      queries = qkv.view[rows, attention.queryColumns(head)]
      keys = qkv.view[seen, attention.keyColumns(head)]
      values = qkv.view[seen, attention.valueColumns(head)]
      self.rows = rows
    }
  }

  /// Computes the attention probabilities of a block of queries, `[rows, rows.upperBound]`.
  private func probabilities(of head: Head, into p: inout MutableMatrixView<Float>) {
    multiply(head.queries, head.keys.transposed, into: &p, operands: operands)
    for (i, token) in head.rows.enumerated() {
      var row = p.row(i)
      _ = softmax(&row, validCount: token + 1, scale: scale)
    }
  }

  /// Computes the gradient of queries, keys and values.
  ///
  /// - Parameters:
  ///   - qkv: The input of `forward`.
  ///   - gradient: The gradient of its result, `[tokens, heads · headSize]`.
  /// - Returns: `[tokens, inputWidth]`.
  package func backward(_ qkv: Matrix, gradient: Matrix) -> Matrix {
    let tokens = qkv.rowCount
    // Each query head gets its own keys and values here, summed afterwards: `[tokens, heads · 3 · headSize]`.
    var perHead = Matrix(rows: tokens, columns: 3 * queryWidth)
    let tiles = (0..<headCount).map {
      MatrixTile(rows: 0..<tokens, columns: $0 * 3 * headSize..<($0 + 1) * 3 * headSize)
    }
    var whole = perHead.mutableView
    parallelTiles(of: &whole, tiles) { head, gradients in
      for rows in blockRanges(tokens) {
        backwardBlock(
          Head(head, of: self, qkv, rows: rows), gradient.view[rows, queryColumns(head)], into: &gradients)
      }
    }
    return summedOverSharedHeads(perHead)
  }

  /// Adds one block of queries' part of the gradients of one head.
  ///
  /// - Parameters:
  ///   - head: The inputs of the block.
  ///   - gradient: The gradient of the block's result, `[rows, headSize]`.
  ///   - gradients: Gradients of queries, keys and values side by side, `[tokens, 3 · headSize]`; added to.
  private func backwardBlock(
    _ head: Head, _ gradient: MatrixView<Float>, into gradients: inout MutableMatrixView<Float>
  ) {
    let seen = 0..<head.rows.upperBound
    let (q, k, v) = (0..<headSize, headSize..<2 * headSize, 2 * headSize..<3 * headSize)
    ScratchPool.shared.withMatrix(rows: head.rows.count, columns: seen.count) { p in
      probabilities(of: head, into: &p)
      var dv = gradients[seen, v]
      multiply(p.view.transposed, gradient, into: &dv, adding: true, operands: operands)
      ScratchPool.shared.withMatrix(rows: head.rows.count, columns: seen.count) { ds in
        multiply(gradient, head.values.transposed, into: &ds, operands: operands)
        for i in 0..<head.rows.count {
          var row = ds.row(i)
          softmaxBackward(probabilities: p.view.row(i), gradient: &row, scale: scale)
        }
        var dq = gradients[head.rows, q]
        multiply(ds.view, head.keys, into: &dq, operands: operands)
        var dk = gradients[seen, k]
        multiply(ds.view.transposed, head.queries, into: &dk, adding: true, operands: operands)
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
            var slice = part.slice(
              i * inputWidth + target.lowerBound..<i * inputWidth + target.upperBound)
            addScaled(perHead.values.span.extracting(source..<source + headSize), scale: 1, to: &slice)
          }
        }
      }
    }
    return sum
  }
}
