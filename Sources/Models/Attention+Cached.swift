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
    let layout = output.layout
    let blocks = sequences.flatMap(\.blocks)
    var values = output.values.mutableSpan
    parallelTiles(of: &values, count: blocks.count * keyValueHeadCount) { task, output in
      let block = blocks[task / keyValueHeadCount]
      for part in parts(of: block, keyValueHead: task % keyValueHeadCount, qkv, layout) {
        attend(part, block.cache, qkv, into: &output)
      }
    }
    return output
  }

  /// Queries that see the same keys and values, and where the result goes.
  private struct Part {
    let keyValueHead: Int
    let queries: MatrixLayout
    let output: MatrixLayout
    /// The keys that the first query sees.
    let firstSeen: Int
    /// The keys that each further query sees in addition.
    let seenPerQuery: Int

    var seen: Int { firstSeen + (queries.rowCount - 1) * seenPerQuery }
  }

  /// The heads that share keys; of a single token they are the rows of one product.
  private func parts(
    of block: CachedQueries, keyValueHead: Int, _ qkv: Matrix, _ output: MatrixLayout
  ) -> [Part] {
    let shared = headCount / keyValueHeadCount
    let first = keyValueHead * shared
    guard block.rows.count > 1 else {
      func heads(_ layout: MatrixLayout) -> MatrixLayout {
        MatrixLayout(
          rows: shared, columns: headSize,
          offset: layout.offset + block.rows.lowerBound * layout.stride + first * headSize)
      }
      return [
        Part(
          keyValueHead: keyValueHead, queries: heads(qkv.layout), output: heads(output),
          firstSeen: block.firstPosition + 1, seenPerQuery: 0)
      ]
    }
    return (first..<first + shared).map { head in
      let columns = head * headSize..<(head + 1) * headSize
      return Part(
        keyValueHead: keyValueHead, queries: qkv.layout[block.rows, columns],
        output: output[block.rows, columns], firstSeen: block.firstPosition + 1, seenPerQuery: 1)
    }
  }

  private func attend(
    _ part: Part, _ cache: KeyValueCache.Layer, _ qkv: Matrix, into output: inout MutableSpan<Float>
  ) {
    let width = keyValueHeadCount * headSize
    let head = part.keyValueHead * headSize..<(part.keyValueHead + 1) * headSize
    let keys = MatrixLayout(rows: width, columns: cache.room)
    // Whole blocks of keys are faster than a part of one; what is no key yet is not valid.
    let blocks = (part.seen + KeyValueCache.columns - 1) / KeyValueCache.columns
    let scoreLayout = MatrixLayout(rows: part.queries.rowCount, columns: blocks * KeyValueCache.columns)
    let seen = scoreLayout[0..<scoreLayout.rowCount, 0..<part.seen]
    ScratchPool.shared.withScratch(scoreLayout.rowCount * scoreLayout.columnCount) { scores in
      multiply(
        .plain, qkv.values.span, part.queries, cache.keys.span, keys[head, 0..<scoreLayout.columnCount],
        into: &scores, scoreLayout)
      for i in 0..<scoreLayout.rowCount {
        let start = i * scoreLayout.stride
        var row = scores._mutatingExtracting(start..<start + part.seen)
        softmax(&row, validCount: part.firstSeen + i * part.seenPerQuery, scale: scale)
      }
      multiply(
        .plain, scores.span, seen, cache.values.span,
        MatrixLayout(rows: cache.room, columns: width)[0..<part.seen, head], into: &output, part.output)
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
