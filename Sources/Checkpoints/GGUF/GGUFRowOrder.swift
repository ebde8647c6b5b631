/// The order of a matrix's rows, or of its columns, in a GGUF file.
package enum GGUFRowOrder: Sendable, Equatable {
  /// The order of the checkpoint.
  case plain
  /// In each head, rows of the first and of the second half alternate.
  ///
  /// llama.cpp's rotary embedding turns pairs of adjacent rows, Hugging Face's pairs of rows half a head
  /// apart.
  case interleaved(rowsPerHead: Int)
  /// All queries, then all keys, then all values; in the checkpoint those of each head are together.
  case headsApart(headCount: Int, rowsPerHead: Int)
  /// The first heads of all groups, then the second ones, and so on.
  case tiled(HeadTiling)

  /// The row of the checkpoint's matrix that is stored at a row of the GGUF file.
  package func source(of row: Int) -> Int {
    switch self {
    case .plain: return row
    case .interleaved(let size): return row - row % size + row % 2 * (size / 2) + row % size / 2
    case .headsApart(let headCount, let size):
      let (part, rest) = row.quotientAndRemainder(dividingBy: headCount * size)
      let (head, inHead) = rest.quotientAndRemainder(dividingBy: size)
      return (3 * head + part) * size + inHead
    case .tiled(let tiling): return tiling.moved(row, from: (tiling.headsPerGroup, tiling.groupCount))
    }
  }

  /// The row of the GGUF file that holds a row of the checkpoint's matrix.
  package func place(of row: Int) -> Int {
    switch self {
    case .plain: return row
    case .interleaved(let size):
      let (half, pair) = (row % size).quotientAndRemainder(dividingBy: size / 2)
      return row - row % size + 2 * pair + half
    case .headsApart(let headCount, let size):
      let (block, inHead) = row.quotientAndRemainder(dividingBy: size)
      return (block % 3 * headCount + block / 3) * size + inHead
    case .tiled(let tiling): return tiling.moved(row, from: (tiling.groupCount, tiling.headsPerGroup))
    }
  }
}

extension HeadTiling {
  /// The place of a row after the heads, a table of some rows and columns, are transposed.
  fileprivate func moved(_ row: Int, from table: (rows: Int, columns: Int)) -> Int {
    guard row >= start else { return row }
    let (head, inHead) = (row - start).quotientAndRemainder(dividingBy: headSize)
    return start + (head % table.columns * table.rows + head / table.columns) * headSize + inHead
  }
}

extension TensorSlot {
  /// The order of the rows in a GGUF file.
  var ggufOrder: GGUFRowOrder {
    if let tiling = ggufForm.rowTiling { return .tiled(tiling) }
    guard rowOrder != .plain, let headCount = axes[0].headCount, let headSize = axes[0].headSize else {
      return .plain
    }
    switch rowOrder {
    case .plain: return .plain
    case .rotaryPairs: return .interleaved(rowsPerHead: headSize)
    case .headsApart: return .headsApart(headCount: headCount, rowsPerHead: headSize / 3)
    }
  }

  /// The order of the columns in a GGUF file.
  var ggufColumnOrder: GGUFRowOrder { ggufForm.columnTiling.map { .tiled($0) } ?? .plain }
}
