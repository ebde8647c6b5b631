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
  _ x: RoundedMatrix, byRows rows: Range<Int>, of weight: Weight, into y: inout MutableSpan<Float>,
  _ target: MatrixLayout
) {
  let layout = x.matrix.layout
  for columns in WeightTile.columns(of: weight.columnCount, granularity: weight.columnGranularity) {
    weight.multiplyTile(
      .transposedRight, x, layout[0..<layout.rowCount, columns], rows: rows, columns: columns,
      keep: columns.lowerBound == 0 ? 0 : 1, into: &y, target)
  }
}

/// Adds to the input's gradient for some columns, or begins it: `dx = dy · W`.
func multiply(
  _ dy: RoundedMatrix, _ delta: MatrixLayout, byColumns columns: Range<Int>, of weight: Weight, keep: Float,
  into dx: inout MutableSpan<Float>, _ target: MatrixLayout
) {
  for rows in WeightTile.rows(of: weight.rowCount, columns: columns.count) {
    weight.multiplyTile(
      .plain, dy, delta[0..<delta.rowCount, rows], rows: rows, columns: columns,
      keep: rows.lowerBound == 0 ? keep : 1, into: &dx, target)
  }
}

extension Weight {
  /// The rows that are rounded at a time, so that they stay in the first cache.
  private static let roundedRows = 8

  /// Multiplies a matrix with a part of the weight, rounded when the matrix is.
  fileprivate func multiplyTile(
    _ kind: MatrixProduct, _ a: RoundedMatrix, _ aLayout: MatrixLayout, rows: Range<Int>, columns: Range<Int>,
    keep: Float, into c: inout MutableSpan<Float>, _ target: MatrixLayout
  ) {
    let tileLayout = MatrixLayout(rows: rows.count, columns: columns.count)
    guard !a.halves.isEmpty else {
      return ScratchPool.shared.withScratch(rows.count * columns.count) { tile in
        unpack(rows: rows, columns: columns, into: &tile)
        multiply(
          kind, a.matrix.values.span, aLayout, tile.span, tileLayout, keep: keep, into: &c, target)
      }
    }
    let halves = a.halves.span
    if case .dense(let bytes, .bf16) = values {
      let part = MatrixLayout(rows: rowCount, columns: columnCount)[rows, columns]
      bytes.withSpan {
        multiply(kind, halves: unsafe halves.bytes, aLayout, $0, part, keep: keep, into: &c, target)
      }
      return
    }
    ScratchPool.shared.withBytes(2 * rows.count * columns.count) { tile in
      unpackRounded(rows: rows, columns: columns, into: &tile)
      multiply(
        kind, halves: unsafe halves.bytes, aLayout, unsafe tile.span.bytes, tileLayout, keep: keep, into: &c,
        target)
    }
  }

  /// Unpacks a tile and rounds it to bf16, `[rows.count, columns.count]`.
  private func unpackRounded(rows: Range<Int>, columns: Range<Int>, into tile: inout MutableSpan<UInt8>) {
    ScratchPool.shared.withScratch(Self.roundedRows * columns.count) { scratch in
      for first in stride(from: rows.lowerBound, to: rows.upperBound, by: Self.roundedRows) {
        let part = first..<min(first + Self.roundedRows, rows.upperBound)
        var floats = scratch._mutatingExtracting(0..<part.count * columns.count)
        unpack(rows: part, columns: columns, into: &floats)
        let start = 2 * (first - rows.lowerBound) * columns.count
        var bytes = tile._mutatingExtracting(start..<start + 2 * floats.count)
        narrow(floats.span, to: .bf16, into: &bytes)
      }
    }
  }
}
