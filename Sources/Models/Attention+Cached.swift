import Kernels

/// New tokens of one sequence, whose keys and values are cached with those of the tokens before them.
struct CachedQueries {
  /// The rows of the new tokens among the queries.
  let rows: Range<Int>
  /// The position of the first of them in its sequence.
  let firstPosition: Int
  /// The keys and values up to the last of them.
  let cache: KeyValueCache.Layer
}

extension Attention {
  /// The weighted values of every head, over the keys that sequences have cached.
  ///
  /// A token's result depends on its own sequence only, also in its last bits.
  ///
  /// - Parameters:
  ///   - qkv: `[tokens, inputWidth]`, of which the queries are read.
  ///   - sequences: Which rows belong together.
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

  /// The heads that share keys.
  ///
  /// - Parameters:
  ///   - queries: `[rows, shared heads · headSize]`.
  ///   - block: The rows.
  ///   - keyValueHead: The keys and values that they see.
  ///   - output: As many.
  private func attend(
    _ queries: MatrixView<Float>, _ block: CachedQueries, keyValueHead: Int,
    into output: inout MutableMatrixView<Float>
  ) {
    let seen = SeenKeys(head: keyValueHead, first: block.firstPosition + 1, perQuery: 1)
    guard block.rows.count > 1 else {
      // Of a single token the heads are the rows of one product.
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

  /// Which keys and values queries see.
  private struct SeenKeys {
    let head: Int
    /// The keys that the first query sees.
    let first: Int
    /// The keys that each further query sees in addition.
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
    // Whole blocks of keys are faster than a part of one; what is no key yet is not valid.
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

  /// The rows cut into blocks of a bounded size.
  fileprivate var blocks: [CachedQueries] {
    stride(from: rows.lowerBound, to: rows.upperBound, by: Self.rowsPerBlock).map { start in
      CachedQueries(
        rows: start..<min(start + Self.rowsPerBlock, rows.upperBound),
        firstPosition: firstPosition + start - rows.lowerBound,
        cache: cache)
    }
  }
}
