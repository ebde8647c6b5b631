/// A row-major matrix of floats in memory of its own.
public struct Matrix: Sendable, Equatable {
  /// The number of rows.
  public let rowCount: Int
  /// The length of a row.
  public let columnCount: Int
  /// The elements, `[rowCount, columnCount]`.
  public var values: [Float]

  /// A matrix of zeros.
  public init(rows rowCount: Int, columns columnCount: Int) {
    self.rowCount = rowCount
    self.columnCount = columnCount
    values = [Float](repeating: 0, count: rowCount * columnCount)
  }

  /// A matrix with unspecified elements; each must be written before it is read.
  ///
  /// Saves clearing large results that are overwritten anyway.
  package static func unspecified(rows rowCount: Int, columns columnCount: Int) -> Matrix {
    let elementCount = rowCount * columnCount
    // Any bits are a valid float, so elements that are not written yet are harmless.
    let values = unsafe [Float](unsafeUninitializedCapacity: elementCount) { _, count in count = elementCount
    }
    return Matrix(rows: rowCount, columns: columnCount, values: values)
  }

  /// A matrix with given elements.
  public init(rows rowCount: Int, columns columnCount: Int, values: [Float]) {
    precondition(
      values.count == rowCount * columnCount, "\(values.count) values for [\(rowCount), \(columnCount)]")
    self.rowCount = rowCount
    self.columnCount = columnCount
    self.values = values
  }

  /// The layout of the whole matrix inside `values`.
  public var layout: MatrixLayout { MatrixLayout(rows: rowCount, columns: columnCount) }

  /// The range of a row in `values`.
  public func row(_ i: Int) -> Range<Int> { i * columnCount..<(i + 1) * columnCount }
}
