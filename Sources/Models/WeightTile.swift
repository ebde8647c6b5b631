import Checkpoints
import Kernels

/// The tile sizes of products with weights; an unpacked tile stays in the second-level cache while it is
/// multiplied.
enum WeightTile {
  /// The number of floats per tile.
  private static let size = 98_304
  /// The number of columns multiplied at a time, equal to the inner block of the product.
  static let width = 320

  /// Cuts rows into tiles, if possible an even number of them.
  static func rows(of rowCount: Int, columns: Int) -> [Range<Int>] {
    let most = min(max(size / max(columns, 1), 16), width)
    let count = max((rowCount + most - 1) / most, 1)
    return evenRanges(of: rowCount, count: rowCount >= 64 ? (count + 1) / 2 * 2 : count)
  }

  /// Cuts columns into tiles of about `width`, or of one group if that is wider.
  ///
  /// - Parameters:
  ///   - columnCount: The number of columns.
  ///   - granularity: Tile edges are multiples of this number.
  /// - Returns: The tiles from left to right.
  static func columns(of columnCount: Int, granularity: Int) -> [Range<Int>] {
    let unit = max(granularity, 1)
    let units = (columnCount + unit - 1) / unit
    let count = (units + max(width / unit, 1) - 1) / max(width / unit, 1)
    let part = (units + max(count, 1) - 1) / max(count, 1) * unit
    return stride(from: 0, to: columnCount, by: max(part, 1)).map { $0..<min($0 + part, columnCount) }
  }
}

/// Cuts a range into nearly equal parts; edges of long parts are multiples of 8.
func evenRanges(of length: Int, count: Int) -> [Range<Int>] {
  let part = ((length + count - 1) / count + 7) / 8 * 8
  return stride(from: 0, to: length, by: max(part, 1)).map { $0..<min($0 + part, length) }
}

/// Multiplies the input by some rows of a weight, tile by tile: `y = x · Wᵀ`, `[tokens, rows]`.
func multiply(
  _ x: RoundedMatrix, byRows rows: Range<Int>, of weight: Weight, into y: inout MutableMatrixView<Float>
) {
  let layout = x.matrix.layout
  for columns in WeightTile.columns(of: weight.columnCount, granularity: weight.columnGranularity) {
    weight.multiplyTile(
      x, layout[0..<layout.rowCount, columns], MatrixTile(rows: rows, columns: columns), isTransposed: true,
      into: &y, adding: columns.lowerBound > 0)
  }
}

/// Computes the input's gradient for some columns, or adds to it: `dx = dy · W`.
///
/// - Parameters:
///   - dy: The gradients of all outputs.
///   - delta: The range of tokens, and the outputs of this weight, in `dy`.
///   - columns: The columns of the weight.
///   - weight: The weight.
///   - dx: `[tokens, columns]`.
///   - adding: Whether to add to `dx` instead of overwriting it.
func multiply(
  _ dy: RoundedMatrix, _ delta: MatrixLayout, byColumns columns: Range<Int>, of weight: Weight,
  into dx: inout MutableMatrixView<Float>, adding: Bool
) {
  for rows in WeightTile.rows(of: weight.rowCount, columns: columns.count) {
    weight.multiplyTile(
      dy, delta[0..<delta.rowCount, rows], MatrixTile(rows: rows, columns: columns), isTransposed: false,
      into: &dx, adding: adding || rows.lowerBound > 0)
  }
}

extension Weight {
  /// The number of rows rounded at a time, so that they stay in the first-level cache.
  private static let roundedRows = 8

  /// Multiplies a part of a matrix by a part of the weight, which is rounded if the matrix is.
  fileprivate func multiplyTile(
    _ a: RoundedMatrix, _ aLayout: MatrixLayout, _ tile: MatrixTile, isTransposed: Bool,
    into c: inout MutableMatrixView<Float>, adding: Bool
  ) {
    let (rows, columns) = (tile.rows, tile.columns)
    guard !a.halves.isEmpty else {
      return ScratchPool.shared.withScratch(rows.count * columns.count) { unpacked in
        unpack(rows: rows, columns: columns, into: &unpacked)
        let part = MatrixView(unpacked.span, rows: rows.count, columns: columns.count)
        multiply(
          MatrixView(a.matrix.values.span, aLayout), isTransposed ? part.transposed : part, into: &c,
          adding: adding)
      }
    }
    func multiplyHalves(_ part: BF16View) {
      multiply(
        unsafe BF16View(a.halves.span.bytes, aLayout), isTransposed ? part.transposed : part, into: &c,
        adding: adding)
    }
    if case .dense(let bytes, .bf16) = values {
      let whole = MatrixLayout(rows: rowCount, columns: columnCount)
      return bytes.withSpan { multiplyHalves(BF16View($0, whole[rows, columns])) }
    }
    ScratchPool.shared.withBytes(2 * rows.count * columns.count) { rounded in
      unpackRounded(rows: rows, columns: columns, into: &rounded)
      let layout = MatrixLayout(rows: rows.count, columns: columns.count)
      multiplyHalves(unsafe BF16View(rounded.span.bytes, layout))
    }
  }

  /// Unpacks a tile and rounds it to bf16, `[rows.count, columns.count]`.
  private func unpackRounded(rows: Range<Int>, columns: Range<Int>, into tile: inout MutableSpan<UInt8>) {
    ScratchPool.shared.withScratch(Self.roundedRows * columns.count) { scratch in
      for first in stride(from: rows.lowerBound, to: rows.upperBound, by: Self.roundedRows) {
        let part = first..<min(first + Self.roundedRows, rows.upperBound)
        var floats = scratch.slice(0..<part.count * columns.count)
        unpack(rows: part, columns: columns, into: &floats)
        let start = 2 * (first - rows.lowerBound) * columns.count
        var bytes = tile.slice(start..<start + 2 * floats.count)
        narrow(floats.span, to: .bf16, into: &bytes)
      }
    }
  }
}
