import Checkpoints
import Kernels

/// How weights are cut for products: what is unpacked at a time stays in the second cache while it is multiplied.
enum WeightTile {
  /// The floats of a tile.
  private static let size = 98_304
  /// The columns that are multiplied at a time, as many as the product takes steps in one go.
  static let width = 320

  /// Cuts rows into tiles, an even number of them where that is possible.
  static func rows(of rowCount: Int, columns: Int) -> [Range<Int>] {
    let most = min(max(size / max(columns, 1), 16), width)
    let count = max((rowCount + most - 1) / most, rowCount >= 64 ? 2 : 1)
    return evenRanges(of: rowCount, count: count + count % 2 * (rowCount >= 64 ? 1 : 0))
  }

  /// Cuts columns into tiles of about `width`, or one group where that is wider.
  ///
  /// - Parameters:
  ///   - columnCount: The columns.
  ///   - granularity: What the edges are multiples of.
  /// - Returns: The tiles from left to right.
  static func columns(of columnCount: Int, granularity: Int) -> [Range<Int>] {
    let unit = max(granularity, 1)
    let units = (columnCount + unit - 1) / unit
    let count = (units + max(width / unit, 1) - 1) / max(width / unit, 1)
    let part = (units + max(count, 1) - 1) / max(count, 1) * unit
    return stride(from: 0, to: columnCount, by: max(part, 1)).map { $0..<min($0 + part, columnCount) }
  }
}

/// Cuts a range into a number of nearly equal parts, at multiples of 8 where they are long.
func evenRanges(of length: Int, count: Int) -> [Range<Int>] {
  let part = ((length + count - 1) / count + 7) / 8 * 8
  return stride(from: 0, to: length, by: max(part, 1)).map { $0..<min($0 + part, length) }
}

/// Multiplies the input with some rows of a weight, tile by tile: `y = x · Wᵀ`.
func multiply(
  _ x: Matrix, byRows rows: Range<Int>, of weight: Weight, into y: inout MutableSpan<Float>,
  _ target: MatrixLayout, operands: ProductOperands
) {
  for columns in WeightTile.columns(of: weight.columnCount, granularity: weight.columnGranularity) {
    weight.multiplyTile(
      .transposedRight, x.values.span, x.layout[0..<x.rowCount, columns], rows: rows, columns: columns,
      keep: columns.lowerBound == 0 ? 0 : 1, into: &y, target, operands: operands)
  }
}

/// Adds to the input's gradient for some columns, or begins it: `dx = dy · W`.
func multiply(
  _ dy: Matrix, _ delta: MatrixLayout, byColumns columns: Range<Int>, of weight: Weight, keep: Float,
  into dx: inout MutableSpan<Float>, _ target: MatrixLayout, operands: ProductOperands
) {
  for rows in WeightTile.rows(of: weight.rowCount, columns: columns.count) {
    weight.multiplyTile(
      .plain, dy.values.span, delta[0..<delta.rowCount, rows], rows: rows, columns: columns,
      keep: rows.lowerBound == 0 ? keep : 1, into: &dx, target, operands: operands)
  }
}

extension Weight {
  /// Multiplies a matrix with a part of the weight, which is unpacked for it unless products take it as it is stored.
  fileprivate func multiplyTile(
    _ kind: MatrixProduct, _ a: Span<Float>, _ aLayout: MatrixLayout, rows: Range<Int>, columns: Range<Int>,
    keep: Float, into c: inout MutableSpan<Float>, _ target: MatrixLayout, operands: ProductOperands
  ) {
    if operands.onThisProcessor == .bf16, case .dense(let bytes, .bf16) = values {
      let part = MatrixLayout(rows: rowCount, columns: columnCount)[rows, columns]
      bytes.withSpan { multiply(kind, a, aLayout, halves: $0, part, keep: keep, into: &c, target) }
      return
    }
    ScratchPool.shared.withScratch(rows.count * columns.count) { tile in
      unpack(rows: rows, columns: columns, into: &tile)
      multiply(
        kind, a, aLayout, tile.span, MatrixLayout(rows: rows.count, columns: columns.count), keep: keep,
        into: &c, target, operands: operands)
    }
  }
}
