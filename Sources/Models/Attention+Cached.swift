import Checkpoints
package import Kernels

/// The new tokens of one sequence; their keys and values are already cached after those of the earlier
/// tokens.
package struct CachedQueries: Sendable {
  /// The rows of the new tokens in the matrix of queries.
  let rows: Range<Int>
  /// The position of the first new token in its sequence.
  let firstPosition: Int
  /// The keys and values up to the last new token.
  let cache: KeyValueCache.Layer

  /// Joins the rows of a sequence, the position of the first of them, and the keys and values up to the last.
  package init(rows: Range<Int>, firstPosition: Int, cache: KeyValueCache.Layer) {
    self.rows = rows
    self.firstPosition = firstPosition
    self.cache = cache
  }
}

extension Attention {
  /// Computes the weighted values of every head over the cached keys of each sequence.
  ///
  /// A token's result depends on its own sequence only, bit for bit.
  ///
  /// - Parameters:
  ///   - qkv: `[tokens, inputWidth]` or wider; only the queries are read.
  ///   - sequences: The rows of each sequence.
  /// - Returns: `[tokens, heads · headSize]`.
  package func forward(_ qkv: Matrix, over sequences: [CachedQueries]) -> Matrix {
    var output = Matrix.unspecified(rows: qkv.rowCount, columns: description.queryWidth)
    let tasks = sequences.flatMap(\.blocks).flatMap { block in
      (0..<keyValueHeadCount).map { (block: block, keyValueHead: $0) }
    }
    let shared = headCount / keyValueHeadCount * headSize
    let tiles = tasks.map {
      MatrixTile(rows: $0.block.rows, columns: $0.keyValueHead * shared..<($0.keyValueHead + 1) * shared)
    }
    var whole = output.mutableView
    parallelTiles(of: &whole, tiles) { index, output in
      let queries = qkv.view[tiles[index].rows, tiles[index].columns]
      attend(queries, tasks[index].block, keyValueHead: tasks[index].keyValueHead, into: &output)
    }
    return output
  }

  /// Computes the heads that share one key and value head.
  ///
  /// - Parameters:
  ///   - rows: `[rows, shared heads · headSize]`.
  ///   - block: The rows to compute, with their cache.
  ///   - keyValueHead: The key and value head that they read.
  ///   - output: `[rows, shared heads · headSize]`; overwritten.
  private func attend(
    _ rows: MatrixView<Float>, _ block: CachedQueries, keyValueHead: Int,
    into output: inout MutableMatrixView<Float>
  ) {
    let shared = headCount / keyValueHeadCount
    let firstHead = keyValueHead * shared
    guard block.rows.count > 1 else {
      // With a single token, the heads form the rows of one product.
      let queries = QueryRun(count: shared, head: firstHead, position: block.firstPosition, isOneToken: true)
      var heads = output.reshaped(rows: shared, columns: headSize)
      let view = MatrixView(rows.row(0), rows: shared, columns: headSize)
      return attend(view, queries, block.cache, keyValueHead: keyValueHead, into: &heads)
    }
    for i in 0..<shared {
      let queries = QueryRun(
        count: block.rows.count, head: firstHead + i, position: block.firstPosition, isOneToken: false)
      let columns = i * headSize..<(i + 1) * headSize
      var head = output[columns: columns]
      attend(rows[columns: columns], queries, block.cache, keyValueHead: keyValueHead, into: &head)
    }
  }

  /// Queries of one product: the heads of one token, or the tokens of one head.
  private struct QueryRun {
    let count: Int
    /// The head of the first query.
    let head: Int
    /// The position of the first query.
    let position: Int
    let isOneToken: Bool

    func head(of query: Int) -> Int { isOneToken ? head + query : head }
    func position(of query: Int) -> Int { isOneToken ? position : position + query }
  }

  /// Computes the weighted values of some queries.
  ///
  /// - Parameters:
  ///   - rows: `[queries, headSize]`.
  ///   - queries: The heads and positions of the rows.
  ///   - cache: The keys and values up to the last query.
  ///   - keyValueHead: The key and value head that they read.
  ///   - output: `[queries, headSize]`; overwritten.
  private func attend(
    _ rows: MatrixView<Float>, _ queries: QueryRun, _ cache: KeyValueCache.Layer, keyValueHead: Int,
    into output: inout MutableMatrixView<Float>
  ) {
    let width = description.keyValueWidth
    let head = keyValueHead * headSize..<(keyValueHead + 1) * headSize
    let end = queries.position(of: queries.count - 1) + 1
    // Whole blocks of keys are faster than partial ones; keys that a query does not see are masked.
    let start = KeyValueCache.start(ofBlockWith: description.firstKey(seenFrom: queries.position))
    let first = cache.firstToken
    let seen = start - first..<end - first
    let blocks = start - first..<KeyValueCache.end(ofBlockWith: end - 1) - first
    ScratchPool.shared.withMatrix(rows: queries.count, columns: blocks.count) { scores in
      switch cache.storage {
      case .f32(let keys, let values):
        let keys = MatrixView(keys.span, rows: width, columns: cache.room)[head, blocks]
        multiply(rows, keys, into: &scores)
        turnIntoProbabilities(&scores, of: queries, keys: start..<end)
        let values = MatrixView(values.span, rows: cache.room, columns: width)[seen, head]
        multiply(scores.view[columns: 0..<seen.count], values, into: &output)
      case .bf16(let keys, let values):
        let layout = MatrixLayout(rows: cache.room, columns: width)
        multiply(rows, unsafe BF16View(keys.span.bytes, layout[blocks, head]).transposed, into: &scores)
        turnIntoProbabilities(&scores, of: queries, keys: start..<end)
        multiply(
          scores.view[columns: 0..<seen.count], unsafe BF16View(values.span.bytes, layout[seen, head]),
          into: &output)
      }
    }
  }

  /// Turns the products of queries and keys into probabilities.
  ///
  /// - Parameters:
  ///   - scores: `[queries, at least keys]`.
  ///   - queries: The heads and positions of the rows.
  ///   - keys: The positions of the keys.
  private func turnIntoProbabilities(
    _ scores: inout MutableMatrixView<Float>, of queries: QueryRun, keys: Range<Int>
  ) {
    for i in 0..<queries.count {
      var row = scores[i..<i + 1, 0..<keys.count]
      var seen = row.contiguousElements()
      let position = queries.position(of: i)
      let visible =
        description.firstKey(seenFrom: position) - keys.lowerBound..<position + 1 - keys.lowerBound
      description.cap(&seen, visible: visible)
      description.turnIntoProbabilities(
        &seen, visible: visible, sink: sinks.isEmpty ? -.infinity : sinks[queries.head(of: i)])
    }
  }
}

extension CachedQueries {
  private static var rowsPerBlock: Int { 64 }

  /// The rows, cut into blocks of a bounded size.
  fileprivate var blocks: [CachedQueries] {
    stride(from: rows.lowerBound, to: rows.upperBound, by: Self.rowsPerBlock).map { start in
      CachedQueries(
        rows: start..<min(start + Self.rowsPerBlock, rows.upperBound),
        firstPosition: firstPosition + start - rows.lowerBound,
        cache: cache)
    }
  }
}
