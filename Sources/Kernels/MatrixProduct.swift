internal import COpenBLAS

/// Where a row-major matrix lies inside a span of floats.
public struct MatrixLayout: Sendable, Equatable {
  /// The element at row 0, column 0, from the start of the span.
  public let offset: Int
  /// The number of rows.
  public let rowCount: Int
  /// The number of columns.
  public let columnCount: Int
  /// The elements from one row to the next; at least `columnCount`.
  public let stride: Int

  /// Describes a matrix; by default its rows follow each other from the start.
  public init(rows rowCount: Int, columns columnCount: Int, offset: Int = 0, stride: Int? = nil) {
    precondition(rowCount >= 0 && columnCount >= 0 && offset >= 0 && (stride ?? columnCount) >= columnCount)
    self.offset = offset
    self.rowCount = rowCount
    self.columnCount = columnCount
    self.stride = stride ?? columnCount
  }

  /// The part of the matrix in some rows and columns.
  public subscript(rows: Range<Int>, columns: Range<Int>) -> MatrixLayout {
    precondition(rows.upperBound <= rowCount && columns.upperBound <= columnCount)
    return MatrixLayout(
      rows: rows.count, columns: columns.count,
      offset: offset + rows.lowerBound * stride + columns.lowerBound, stride: stride)
  }

  /// The elements a span must have to hold the matrix.
  var extent: Int {
    rowCount == 0 || columnCount == 0 ? 0 : offset + (rowCount - 1) * stride + columnCount
  }
}

/// Which operand of a product is taken transposed.
public enum MatrixProduct: Sendable {
  /// `a [m, k] · b [k, n]`.
  case plain
  /// `a [m, k] · b [n, k]ᵀ`.
  case transposedRight
  /// `a [k, m]ᵀ · b [k, n]`.
  case transposedLeft
}

/// Computes `c = scale · (a · b) + keep · c` on the calling thread.
///
/// OpenBLAS adds in an order that depends on the shape and the processor only.
///
/// - Parameters:
///   - kind: How the operands are taken.
///   - a: The span that holds the left operand.
///   - aLayout: Where in `a`.
///   - b: The span that holds the right operand.
///   - bLayout: Where in `b`.
///   - scale: The factor of the product.
///   - keep: The factor of what `c` holds; 0 overwrites it.
///   - c: The span that holds the result.
///   - cLayout: Where in `c`, `[m, n]`.
public func multiply(
  _ kind: MatrixProduct, _ a: Span<Float>, _ aLayout: MatrixLayout, _ b: Span<Float>, _ bLayout: MatrixLayout,
  scale: Float = 1, keep: Float = 0, into c: inout MutableSpan<Float>, _ cLayout: MatrixLayout
) {
  let (m, inner) =
    kind == .transposedLeft
    ? (aLayout.columnCount, aLayout.rowCount) : (aLayout.rowCount, aLayout.columnCount)
  let (n, otherInner) =
    kind == .transposedRight
    ? (bLayout.rowCount, bLayout.columnCount) : (bLayout.columnCount, bLayout.rowCount)
  precondition(inner == otherInner, "inner dimensions differ: \(inner), \(otherInner)")
  precondition(m == cLayout.rowCount && n == cLayout.columnCount, "the result is not [\(m), \(n)]")
  precondition(
    aLayout.extent <= a.count && bLayout.extent <= b.count && cLayout.extent <= c.count,
    "a matrix lies outside its span")
  guard m > 0, n > 0 else { return }
  _ = singleThreaded
  // The layouts were checked against the spans, so every address OpenBLAS forms is inside them.
  unsafe a.withUnsafeBufferPointer { a in
    unsafe b.withUnsafeBufferPointer { b in
      unsafe c.withUnsafeMutableBufferPointer { c in
        unsafe cblas_sgemm(
          CblasRowMajor, kind == .transposedLeft ? CblasTrans : CblasNoTrans,
          kind == .transposedRight ? CblasTrans : CblasNoTrans, blasint(m), blasint(n), blasint(inner),
          scale, a.baseAddress.map { unsafe $0 + aLayout.offset }, blasint(max(aLayout.stride, 1)),
          b.baseAddress.map { unsafe $0 + bLayout.offset }, blasint(max(bLayout.stride, 1)), keep,
          c.baseAddress.map { unsafe $0 + cLayout.offset }, blasint(max(cLayout.stride, 1)))
      }
    }
  }
}

/// OpenBLAS must not start threads of its own under `parallel`.
private let singleThreaded: Void = openblas_set_num_threads(1)
