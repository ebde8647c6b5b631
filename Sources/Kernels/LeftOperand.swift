internal import CKernels

/// A matrix that is the left operand of several products, packed once for all of them, and rounded if they
/// round operands.
package struct LeftOperand: Sendable {
  private static let rowsPerChunk = 48
  /// The number of rows.
  package let rowCount: Int
  /// The number of columns.
  package let columnCount: Int
  /// The kernel that it is packed for.
  let backend: ProductBackend
  /// A row for each block of the kernel's rows; see `ck_pack_left`.
  private let blocks: Matrix

  /// Packs a matrix.
  ///
  /// - Parameters:
  ///   - matrix: `[rows, columns]`.
  ///   - operands: The type that operands may be rounded to.
  ///   - backend: The kernel; nil takes the fastest one.
  package init(
    _ matrix: MatrixView<Float>, for operands: ProductOperands, on backend: ProductBackend? = nil
  ) {
    let backend = backend ?? .best(for: operands)
    self.backend = backend
    (rowCount, columnCount) = (matrix.rowCount, matrix.columnCount)
    let unit = backend.leftUnit.rows
    var blocks = Matrix.unspecified(
      rows: (rowCount + unit - 1) / unit, columns: backend.leftFloatCount(columns: columnCount))
    if blocks.columnCount > 0 {
      var whole = blocks.mutableView
      let count = rowCount
      parallelRows(of: &whole, rowsPerChunk: max(Self.rowsPerChunk / unit, 1)) { range, part in
        let rows = range.lowerBound * unit..<min(range.upperBound * unit, count)
        backend.pack(matrix[rows: rows], into: &part)
      }
    }
    self.blocks = blocks
  }

  /// Where a part may begin: at multiples of these numbers of rows and columns.
  package var unit: (rows: Int, columns: Int) { backend.leftUnit }

  /// Lends the packed part that begins at a row and a column.
  fileprivate func withPart<R>(
    row: Int, column: Int, _ body: (_ start: UnsafePointer<Float>?, _ blockStride: Int) -> R
  ) -> R {
    let unit = backend.leftUnit
    precondition(
      row % unit.rows == 0 && column % unit.columns == 0,
      "a part at row \(row), column \(column) of blocks of \(unit)")
    let start = row / unit.rows * blocks.columnCount + backend.leftFloatCount(columns: column)
    return unsafe reading(blocks.values.span) { values in
      unsafe body(values.map { unsafe $0 + start }, blocks.columnCount)
    }
  }
}

/// A part of a left operand; its start must be a multiple of the kernel's unit.
package struct LeftPart: Sendable {
  fileprivate let operand: LeftOperand
  fileprivate let rows: Range<Int>
  fileprivate let columns: Range<Int>

  /// Some rows and columns.
  package init(_ operand: LeftOperand, rows: Range<Int>, columns: Range<Int>) {
    precondition(
      rows.lowerBound >= 0 && rows.upperBound <= operand.rowCount && columns.lowerBound >= 0
        && columns.upperBound <= operand.columnCount,
      "rows \(rows), columns \(columns) of [\(operand.rowCount), \(operand.columnCount)]")
    self.operand = operand
    self.rows = rows
    self.columns = columns
  }

  /// Whether the product rounds operands to bf16.
  package var isRounded: Bool { operand.backend.operands == .bf16 }

  /// The shape of the part.
  fileprivate var layout: MatrixLayout { MatrixLayout(rows: rows.count, columns: columns.count) }
}

/// Computes `c = a · b`, or adds it to what `c` holds, on the calling thread; the result has the same bits as
/// that of the product of the same matrices that are not packed.
///
/// - Parameters:
///   - a: `[m, k]`.
///   - b: `[k, n]`.
///   - c: `[m, n]`.
///   - adding: Whether the product is added to `c`; otherwise the old contents are ignored.
package func multiply(
  _ a: LeftPart, _ b: MatrixView<Float>, into c: inout MutableMatrixView<Float>, adding: Bool = false
) {
  unsafe reading(b.elements) { right in
    let right = unsafe right.map { unsafe UnsafeRawPointer($0 + b.layout.offset) }
    unsafe multiply(a, .f32, right, b.layout, into: &c, adding: adding)
  }
}

/// `multiply` of a right operand that is stored as bf16.
///
/// - Precondition: The kernel rounds to bf16.
package func multiply(
  _ a: LeftPart, _ b: BF16View, into c: inout MutableMatrixView<Float>, adding: Bool = false
) {
  precondition(a.operand.backend.operands == .bf16, "\(a.operand.backend) does not take operands of bf16")
  unsafe reading(b.bytes) { right in
    let right = unsafe right.map { unsafe $0 + 2 * b.layout.offset }
    unsafe multiply(a, .bf16, right, b.layout, into: &c, adding: adding)
  }
}

@unsafe
private func multiply(
  _ a: LeftPart, _ format: ProductOperands, _ right: UnsafeRawPointer?, _ b: MatrixLayout,
  into c: inout MutableMatrixView<Float>, adding: Bool
) {
  let shape = ProductShape(a.layout, b, c.layout)
  guard shape.needsProduct(&c, adding: adding) else { return }
  let backend = a.operand.backend
  ScratchPool.shared.withScratch(backend.scratchCount(shape.m, shape.n, shape.inner)) { scratch in
    // Views are checked against their spans, so every address that the kernel forms lies inside them.
    unsafe a.operand.withPart(row: a.rows.lowerBound, column: a.columns.lowerBound) { left, blockStride in
      unsafe writing(&c.elements, &scratch) { target, scratch in
        var product = unsafe shape.forC(
          left, right, format, adding: adding, target.map { unsafe $0 + c.layout.offset })
        unsafe product.is_packed = 1
        unsafe product.a_row_stride = blockStride
        unsafe ck_multiply(backend.index, product, scratch)
      }
    }
  }
}
