package import Checkpoints
package import Kernels

/// Causal grouped-query attention over one window, forward and backward.
///
/// Works on one matrix of queries, keys and values side by side, `[tokens, (heads + 2 · key-value heads) ·
/// headSize]`, with queries and keys already rotated. Scores exist for one head and one block of queries at a
/// time, and only for the keys that a query of the block sees.
package struct Attention: Sendable {
  /// The heads, and which keys a query sees with which score.
  package let description: AttentionDescription
  /// One more score per query head that takes its share of the softmax and has no value, `[heads]`; empty for
  /// none.
  package let sinks: [Float]
  /// The precision to which queries, keys, values, probabilities and gradients are rounded for their
  /// products.
  ///
  /// Products with cached keys use unrounded values.
  package var operands: ProductOperands

  /// The number of query heads.
  package var headCount: Int { description.headCount }
  /// The number of key and value heads; divides `headCount`.
  package var keyValueHeadCount: Int { description.keyValueHeadCount }
  /// The width of a head.
  package var headSize: Int { description.headSize }
  /// The width of queries, keys and values together.
  package var inputWidth: Int { description.inputWidth }

  /// Prepares the attention of a layer.
  ///
  /// - Parameters:
  ///   - description: The heads, and which keys a query sees with which score.
  ///   - sinks: `[heads]`, or empty for none.
  ///   - operands: The precision of the products.
  package init(
    _ description: AttentionDescription, sinks: [Float] = [], operands: ProductOperands = .f32
  ) {
    precondition(
      sinks.isEmpty || sinks.count == description.headCount,
      "\(sinks.count) sinks, \(description.headCount) heads")
    self.description = description
    self.sinks = sinks
    self.operands = operands
  }

  private func queryColumns(_ head: Int) -> Range<Int> { head * headSize..<(head + 1) * headSize }

  private func keyColumns(_ head: Int) -> Range<Int> {
    let start = description.queryWidth + head / (headCount / keyValueHeadCount) * headSize
    return start..<start + headSize
  }

  private func valueColumns(_ head: Int) -> Range<Int> {
    let keys = keyColumns(head)
    return keys.lowerBound + description.keyValueWidth..<keys.upperBound + description.keyValueWidth
  }

  /// Computes the weighted values of every head.
  ///
  /// - Parameter qkv: `[tokens, inputWidth]`; further columns are ignored.
  /// - Returns: `[tokens, heads · headSize]`.
  package func forward(_ qkv: Matrix) -> Matrix {
    let tokens = qkv.rowCount
    var output = Matrix.unspecified(rows: tokens, columns: description.queryWidth)
    // The longest blocks come first, so that the last ones to finish are short.
    let tiles = blockRanges(tokens).reversed().flatMap { rows in
      (0..<headCount).map { MatrixTile(rows: rows, columns: queryColumns($0)) }
    }
    var whole = output.mutableView
    parallelTiles(of: &whole, tiles) { index, output in
      let rows = tiles[index].rows
      let head = Head(index % headCount, of: self, qkv, rows: rows)
      ScratchPool.shared.withMatrix(rows: rows.count, columns: head.seen.count) { p in
        scores(of: head, into: &p)
        turnIntoProbabilities(&p, of: head)
        multiply(p.view, head.values, into: &output, operands: operands)
      }
    }
    return output
  }

  private func blockRanges(_ tokens: Int) -> [Range<Int>] {
    let size = description.queriesPerBlock
    return stride(from: 0, to: tokens, by: size).map { $0..<min($0 + size, tokens) }
  }

  /// The inputs of one head: some of its queries, and the keys and values that one of them sees.
  private struct Head: ~Escapable {
    /// The index among the query heads.
    let index: Int
    /// `[rows, headSize]`.
    let queries: MatrixView<Float>
    /// `[seen, headSize]`.
    let keys: MatrixView<Float>
    /// `[seen, headSize]`.
    let values: MatrixView<Float>
    /// The positions of the queries.
    let rows: Range<Int>
    /// The positions of the keys.
    let seen: Range<Int>

    @_lifetime(borrow qkv)
    init(_ index: Int, of attention: Attention, _ qkv: borrowing Matrix, rows: Range<Int>) {
      self.index = index
      self.rows = rows
      seen = attention.description.firstKey(seenFrom: rows.lowerBound)..<rows.upperBound
      queries = qkv.view[rows, attention.queryColumns(index)]
      keys = qkv.view[seen, attention.keyColumns(index)]
      values = qkv.view[seen, attention.valueColumns(index)]
    }
  }

  /// Computes the scores of a block of queries, `[rows, seen]`: capped ones, or products without the scale.
  private func scores(of head: Head, into scores: inout MutableMatrixView<Float>) {
    multiply(head.queries, head.keys.transposed, into: &scores, operands: operands)
    for (i, position) in head.rows.enumerated() {
      var row = scores.row(i)
      description.cap(&row, visible: visibleKeys(of: head, from: position))
    }
  }

  /// Turns the scores of a block of queries into probabilities, `[rows, seen]`.
  private func turnIntoProbabilities(_ p: inout MutableMatrixView<Float>, of head: Head) {
    for (i, position) in head.rows.enumerated() {
      var row = p.row(i)
      description.turnIntoProbabilities(
        &row, visible: visibleKeys(of: head, from: position),
        sink: sinks.isEmpty ? -.infinity : sinks[head.index])
    }
  }

  /// The keys of a block that the query at a position sees.
  private func visibleKeys(of head: Head, from position: Int) -> Range<Int> {
    let start = head.seen.lowerBound
    return description.firstKey(seenFrom: position) - start..<position + 1 - start
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
    var perHead = Matrix(rows: tokens, columns: 3 * description.queryWidth)
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
    let (q, k, v) = (0..<headSize, headSize..<2 * headSize, 2 * headSize..<3 * headSize)
    ScratchPool.shared.withMatrix(rows: head.rows.count, columns: head.seen.count) { p in
      scores(of: head, into: &p)
      // Probabilities take the place of capped scores, whose slopes are needed afterwards.
      let cappedCount = description.scoreCap == nil ? 0 : head.seen.count
      ScratchPool.shared.withMatrix(rows: head.rows.count, columns: cappedCount) { capped in
        if cappedCount > 0 { copy(p.view, into: &capped) }
        turnIntoProbabilities(&p, of: head)
        var dv = gradients[head.seen, v]
        multiply(p.view.transposed, gradient, into: &dv, adding: true, operands: operands)
        ScratchPool.shared.withMatrix(rows: head.rows.count, columns: head.seen.count) { ds in
          multiply(gradient, head.values.transposed, into: &ds, operands: operands)
          for i in 0..<head.rows.count {
            var row = ds.row(i)
            softmaxBackward(probabilities: p.view.row(i), gradient: &row, scale: description.scale)
            guard let cap = description.scoreCap else { continue }
            capScoresBackward(scores: capped.view.row(i), cap: cap, gradient: &row)
          }
          var dq = gradients[head.rows, q]
          multiply(ds.view, head.keys, into: &dq, operands: operands)
          var dk = gradients[head.seen, k]
          multiply(ds.view.transposed, head.queries, into: &dk, adding: true, operands: operands)
        }
      }
    }
  }

  private func copy(_ scores: MatrixView<Float>, into copy: inout MutableMatrixView<Float>) {
    for i in 0..<scores.rowCount {
      let source = scores.row(i)
      var target = copy.row(i)
      for j in source.indices { target[j] = source[j] }
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

extension AttentionDescription {
  /// The position of the first key that a query sees.
  func firstKey(seenFrom position: Int) -> Int {
    guard let window else { return 0 }
    return max(0, position - window + 1)
  }

  /// The number of queries whose scores are computed together.
  ///
  /// A narrow window takes smaller blocks, because a block computes a product for each of its queries and
  /// each key that any of them sees.
  fileprivate var queriesPerBlock: Int { min(max(window ?? 64, 32), 64) }

  /// Caps the products of one query and some keys, if there is a cap.
  ///
  /// - Parameters:
  ///   - row: The products; those of visible keys become capped scores.
  ///   - visible: The keys that the query sees.
  func cap(_ row: inout MutableSpan<Float>, visible: Range<Int>) {
    guard let scoreCap else { return }
    var scores = row.slice(visible)
    capScores(&scores, scale: scale, cap: scoreCap)
  }

  /// Turns the scores of one query and some keys into probabilities.
  ///
  /// - Parameters:
  ///   - row: What `cap` left; becomes probabilities, and zeros for the keys that are not visible.
  ///   - visible: The keys that the query sees; not empty.
  ///   - sink: One more score; minus infinity for none.
  func turnIntoProbabilities(_ row: inout MutableSpan<Float>, visible: Range<Int>, sink: Float) {
    for i in 0..<visible.lowerBound { row[i] = 0 }
    var seen = row.slice(visible.lowerBound..<row.count)
    softmax(&seen, validCount: visible.count, scale: scoreCap == nil ? scale : 1, sink: sink)
  }
}
