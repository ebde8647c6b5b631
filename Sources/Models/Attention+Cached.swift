import Kernels

/// The new tokens of one sequence; their keys and values are already cached after those of the earlier
/// tokens.
struct CachedQueries {
  /// The rows of the new tokens in the matrix of queries.
  let rows: Range<Int>
  /// The position of the first new token in its sequence.
  let firstPosition: Int
  /// The keys and values up to the last new token.
  let cache: KeyValueCache.Layer
}

extension Attention {
  /// Computes the weighted values of every head over the cached keys of each sequence.
  ///
  /// A token's result depends on its own sequence only, bit for bit.
  ///
  /// - Parameters:
  ///   - qkv: `[tokens, inputWidth]`; only the queries are read.
  ///   - sequences: The rows of each sequence.
  /// - Returns: `[tokens, heads · headSize]`.
  func forward(_ qkv: Matrix, over sequences: [CachedQueries]) -> Matrix {
    var output = Matrix.unspecified(rows: qkv.rowCount, columns: headCount * headSize)
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
  ///   - queries: `[rows, shared heads · headSize]`.
  ///   - block: The rows to compute, with their cache.
  ///   - keyValueHead: The key and value head that they read.
  ///   - output: `[rows, shared heads · headSize]`; overwritten.
  private func attend(
    _ queries: MatrixView<Float>, _ block: CachedQueries, keyValueHead: Int,
    into output: inout MutableMatrixView<Float>
  ) {
    let seen = SeenKeys(head: keyValueHead, first: block.firstPosition + 1, perQuery: 1)
    guard block.rows.count > 1 else {
      // With a single token, the heads form the rows of one product.
      let shared = headCount / keyValueHeadCount
      var heads = output.reshaped(rows: shared, columns: headSize)
      let rows = MatrixView(queries.row(0), rows: shared, columns: headSize)
      return attend(rows, block.cache, seen.sameForAll, into: &heads)
    }
    for start in stride(from: 0, to: queries.columnCount, by: headSize) {
      let columns = start..<start + headSize
      var head = output[columns: columns]
      attend(queries[columns: columns], block.cache, seen, into: &head)
    }
  }

  /// The keys that each query sees.
  private struct SeenKeys {
    let head: Int
    /// The number of keys that the first query sees.
    let first: Int
    /// The number of keys that each further query sees in addition.
    let perQuery: Int

    var sameForAll: SeenKeys { SeenKeys(head: head, first: first, perQuery: 0) }
  }

  private func attend(
    _ queries: MatrixView<Float>, _ cache: KeyValueCache.Layer, _ seen: SeenKeys,
    into output: inout MutableMatrixView<Float>
  ) {
    let width = keyValueHeadCount * headSize
    let head = seen.head * headSize..<(seen.head + 1) * headSize
    let seenCount = seen.first + (queries.rowCount - 1) * seen.perQuery
    // Whole blocks of keys are faster than partial ones; keys beyond the last token are masked.
    let blocks = (seenCount + KeyValueCache.columns - 1) / KeyValueCache.columns
    let keys = MatrixView(cache.keys.span, rows: width, columns: cache.room)[
      head, 0..<blocks * KeyValueCache.columns]
    let values = MatrixView(cache.values.span, rows: cache.room, columns: width)[0..<seenCount, head]
    ScratchPool.shared.withMatrix(rows: queries.rowCount, columns: keys.columnCount) { scores in
      multiply(queries, keys, into: &scores)
      for i in 0..<queries.rowCount {
        var row = scores[i..<i + 1, 0..<seenCount]
        var valid = row.contiguousElements()
        softmax(&valid, validCount: seen.first + i * seen.perQuery, scale: scale)
      }
      multiply(scores.view[columns: 0..<seenCount], values, into: &output)
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
