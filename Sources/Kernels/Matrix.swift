import Synchronization

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

  /// A matrix whose elements have no particular value; each must be written before it is read.
  ///
  /// For large results that are overwritten anyway, so that they are not cleared first.
  package static func unspecified(rows rowCount: Int, columns columnCount: Int) -> Matrix {
    let elementCount = rowCount * columnCount
    // Any bits are a float, so elements that nothing has written yet are harmless.
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

  /// The whole matrix inside its own values.
  public var layout: MatrixLayout { MatrixLayout(rows: rowCount, columns: columnCount) }

  /// The range of a row in `values`.
  public func row(_ i: Int) -> Range<Int> { i * columnCount..<(i + 1) * columnCount }
}

/// Memory for intermediate results that is used again instead of being freed.
package final class ScratchPool: Sendable {
  private let floats = Buffers<Float>()
  private let bytes = Buffers<UInt8>()

  /// The pool of the products and of attention.
  package static let shared = ScratchPool()

  /// Lends `count` floats of unspecified value.
  package func withScratch<R>(_ count: Int, _ body: (inout MutableSpan<Float>) -> R) -> R {
    floats.lend(count, body)
  }

  /// Lends `count` bytes of unspecified value.
  package func withBytes<R>(_ count: Int, _ body: (inout MutableSpan<UInt8>) -> R) -> R {
    bytes.lend(count, body)
  }
}

/// Arrays that nobody uses at the moment.
private final class Buffers<Element: Sendable & ExpressibleByIntegerLiteral>: Sendable {
  private let free = Mutex<[[Element]]>([])

  func lend<R>(_ count: Int, _ body: (inout MutableSpan<Element>) -> R) -> R {
    var memory = free.withLock { $0.popLast() } ?? []
    if memory.count < count { memory = [Element](repeating: 0, count: count) }
    defer { free.withLock { $0.append(memory) } }
    var all = memory.mutableSpan
    var part = all._mutatingExtracting(0..<count)
    return body(&part)
  }
}
