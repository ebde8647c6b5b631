/// Where the elements of a matrix lie inside a span.
public struct MatrixLayout: Sendable, Equatable {
  /// The element at row 0, column 0, from the start of the span.
  public let offset: Int
  /// The number of rows.
  public let rowCount: Int
  /// The number of columns.
  public let columnCount: Int
  /// The elements from one row to the next.
  public let rowStride: Int
  /// The elements from one column to the next; 1 unless the matrix is transposed.
  public let columnStride: Int

  /// Describes a row-major matrix; by default its rows are contiguous from the start of the span.
  ///
  /// - Parameters:
  ///   - rowCount: The number of rows.
  ///   - columnCount: The number of columns.
  ///   - offset: The element at row 0, column 0.
  ///   - stride: The elements from one row to the next; at least `columnCount`, which is the default.
  public init(rows rowCount: Int, columns columnCount: Int, offset: Int = 0, stride: Int? = nil) {
    precondition(rowCount >= 0 && columnCount >= 0 && offset >= 0 && (stride ?? columnCount) >= columnCount)
    self.init(
      offset: offset, rowCount: rowCount, columnCount: columnCount, rowStride: stride ?? columnCount,
      columnStride: 1)
  }

  private init(offset: Int, rowCount: Int, columnCount: Int, rowStride: Int, columnStride: Int) {
    self.offset = offset
    self.rowCount = rowCount
    self.columnCount = columnCount
    self.rowStride = rowStride
    self.columnStride = columnStride
  }

  /// The same elements with rows and columns exchanged.
  public var transposed: MatrixLayout {
    MatrixLayout(
      offset: offset, rowCount: columnCount, columnCount: rowCount, rowStride: columnStride,
      columnStride: rowStride)
  }

  /// The part of the matrix in some rows and columns.
  public subscript(rows: Range<Int>, columns: Range<Int>) -> MatrixLayout {
    precondition(
      rows.lowerBound >= 0 && rows.upperBound <= rowCount && columns.lowerBound >= 0
        && columns.upperBound <= columnCount,
      "rows \(rows), columns \(columns) of [\(rowCount), \(columnCount)]")
    return MatrixLayout(
      offset: offset + rows.lowerBound * rowStride + columns.lowerBound * columnStride,
      rowCount: rows.count, columnCount: columns.count, rowStride: rowStride, columnStride: columnStride)
  }

  /// The number of elements that a span needs to hold the matrix.
  var extent: Int {
    rowCount == 0 || columnCount == 0
      ? 0 : offset + (rowCount - 1) * rowStride + (columnCount - 1) * columnStride + 1
  }

  /// The range of a row in the span.
  func row(_ row: Int) -> Range<Int> {
    precondition(columnStride == 1 && row >= 0 && row < rowCount, "row \(row) of \(rowCount)")
    let start = offset + row * rowStride
    return start..<start + columnCount
  }
}
