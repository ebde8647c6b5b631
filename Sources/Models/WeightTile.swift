import Checkpoints
import Kernels

/// The tile sizes of products with weights; an unpacked tile and the part of the left operand that it is
/// multiplied with stay in the second-level cache.
///
/// Tiles depend on shapes alone, so that the sums do not depend on the number of threads.
enum WeightTile {
  /// The number of columns of a panel of the product; other edges leave a part of a panel empty.
  private static let panel = 32
  /// The largest number of outputs of a tile.
  private static let outputs = 128
  /// The smallest number of columns in a tile of the input's gradient, if there are as many.
  private static let columns = 64
  /// The number of floats in a tile of a weight's gradient.
  private static let gradientSize = 98_304
  /// The largest number of steps in a part of the inner dimension.
  private static let depth = 320

  /// Cuts a weight's rows into tiles of outputs, an even number of them if there are several.
  static func outputs(of rowCount: Int) -> [Range<Int>] {
    let most = max(rowCount / outputs + (rowCount % outputs > 0 ? 1 : 0), 1)
    return evenRanges(of: rowCount, count: rowCount > panel ? (most + 1) / 2 * 2 : 1, unit: panel)
  }

  /// Cuts a weight's rows into tiles of its gradient, which hold all columns.
  static func rows(of rowCount: Int, columns: Int) -> [Range<Int>] {
    let most = min(max(gradientSize / max(columns, 1), 16), depth)
    let count = max((rowCount + most - 1) / most, 1)
    return evenRanges(of: rowCount, count: rowCount >= 64 ? (count + 1) / 2 * 2 : count)
  }

  /// Cuts columns into tiles of the input's gradient.
  ///
  /// - Parameters:
  ///   - columnCount: The number of columns.
  ///   - granularity: Tile edges are multiples of this number.
  /// - Returns: The tiles from left to right.
  static func columns(of columnCount: Int, granularity: Int) -> [Range<Int>] {
    ranges(of: columnCount, width: max(columns, granularity), unit: granularity)
  }

  /// Cuts an inner dimension into parts.
  ///
  /// - Parameters:
  ///   - length: The number of steps.
  ///   - granularity: The parts' edges are multiples of this number.
  /// - Returns: The parts in order.
  static func parts(of length: Int, granularity: Int) -> [Range<Int>] {
    ranges(of: length, width: max(depth, granularity), unit: granularity)
  }

  /// The fewest ranges that are not longer than a width.
  private static func ranges(of length: Int, width: Int, unit: Int) -> [Range<Int>] {
    let most = width / unit * unit
    return evenRanges(of: length, count: max((length + most - 1) / most, 1), unit: unit)
  }
}

/// Cuts a range into at most `count` nearly equal parts, the longest first; edges are multiples of a unit.
func evenRanges(of length: Int, count: Int, unit: Int = 8) -> [Range<Int>] {
  let units = (length + unit - 1) / unit
  let count = min(max(count, 1), max(units, 1))
  var start = 0
  return (0..<count).compactMap { index in
    let end = min(start + (units / count + (index < units % count ? 1 : 0)) * unit, length)
    defer { start = end }
    return start < end ? start..<end : nil
  }
}

/// Multiplies the input by some rows of a weight, tile by tile: `y = x · Wᵀ`, `[tokens, rows]`.
func multiply(
  _ x: LeftOperand, byRows rows: Range<Int>, of weight: Weight, into y: inout MutableMatrixView<Float>
) {
  let unit = leastCommonMultiple(weight.columnGranularity, x.unit.columns)
  for columns in WeightTile.parts(of: weight.columnCount, granularity: unit) {
    weight.multiplyTile(
      LeftPart(x, rows: 0..<x.rowCount, columns: columns), MatrixTile(rows: rows, columns: columns),
      isTransposed: true, into: &y, adding: columns.lowerBound > 0)
  }
}

/// Computes the input's gradient for some columns, or adds to it: `dx = dy · W`.
///
/// - Parameters:
///   - dy: The gradients of the weight's outputs.
///   - tokens: The rows of `dy`.
///   - columns: The columns of the weight.
///   - weight: The weight.
///   - dx: `[tokens, columns]`.
///   - adding: Whether to add to `dx` instead of overwriting it.
func multiply(
  _ dy: LeftOperand, rows tokens: Range<Int>, byColumns columns: Range<Int>, of weight: Weight,
  into dx: inout MutableMatrixView<Float>, adding: Bool
) {
  for rows in WeightTile.parts(of: weight.rowCount, granularity: dy.unit.columns) {
    weight.multiplyTile(
      LeftPart(dy, rows: tokens, columns: rows), MatrixTile(rows: rows, columns: columns),
      isTransposed: false, into: &dx, adding: adding || rows.lowerBound > 0)
  }
}

extension Weight {
  /// Multiplies a part of a matrix by a part of the weight.
  fileprivate func multiplyTile(
    _ a: LeftPart, _ tile: MatrixTile, isTransposed: Bool, into c: inout MutableMatrixView<Float>,
    adding: Bool
  ) {
    let (rows, columns) = (tile.rows, tile.columns)
    if a.isRounded, case .dense(let bytes, .bf16) = values {
      let whole = MatrixLayout(rows: rowCount, columns: columnCount)
      return bytes.withSpan { bytes in
        let part = BF16View(bytes, whole[rows, columns])
        multiply(a, isTransposed ? part.transposed : part, into: &c, adding: adding)
      }
    }
    if a.isRounded, let packed {
      let layout = MatrixLayout(rows: rows.count, columns: columns.count)
      return ScratchPool.shared.withBytes(2 * rows.count * columns.count) { unpacked in
        packed.unpackToBF16(rows: rows, columns: columns, of: columnCount, into: &unpacked)
        let part = unsafe BF16View(unpacked.span.bytes, layout)
        multiply(a, isTransposed ? part.transposed : part, into: &c, adding: adding)
      }
    }
    ScratchPool.shared.withScratch(rows.count * columns.count) { unpacked in
      unpack(rows: rows, columns: columns, into: &unpacked)
      let part = MatrixView(unpacked.span, rows: rows.count, columns: columns.count)
      multiply(a, isTransposed ? part.transposed : part, into: &c, adding: adding)
    }
  }
}

func leastCommonMultiple(_ a: Int, _ b: Int) -> Int {
  var (divisor, rest) = (a, b)
  while rest != 0 { (divisor, rest) = (rest, divisor % rest) }
  return a / divisor * b
}
