/// A view of a matrix whose elements somebody else owns; products read it.
///
/// A view costs nothing and cannot outlive its source. Cutting out rows and columns and transposing move no
/// element.
package struct MatrixView<Element: Sendable>: ~Escapable, Sendable {
  /// The elements that contain the matrix.
  let elements: Span<Element>
  /// Where the matrix is in `elements`.
  package let layout: MatrixLayout

  /// The number of rows.
  package var rowCount: Int { layout.rowCount }
  /// The number of columns.
  package var columnCount: Int { layout.columnCount }

  /// A matrix inside a span.
  @_lifetime(copy elements)
  package init(_ elements: Span<Element>, _ layout: MatrixLayout) {
    precondition(
      layout.extent <= elements.count, "\(layout) needs \(layout.extent) of \(elements.count) elements")
    self.elements = elements
    self.layout = layout
  }

  /// The row-major matrix at the start of a span.
  @_lifetime(copy elements)
  package init(_ elements: Span<Element>, rows rowCount: Int, columns columnCount: Int) {
    self.init(elements, MatrixLayout(rows: rowCount, columns: columnCount))
  }

  /// The same matrix with rows and columns exchanged.
  package var transposed: MatrixView {
    @_lifetime(copy self) get { MatrixView(elements, layout.transposed) }
  }

  /// The part in some rows and columns.
  package subscript(rows: Range<Int>, columns: Range<Int>) -> MatrixView {
    @_lifetime(copy self) get { MatrixView(elements, layout[rows, columns]) }
  }

  /// Some rows.
  package subscript(rows rows: Range<Int>) -> MatrixView {
    @_lifetime(copy self) get { self[rows, 0..<columnCount] }
  }

  /// Some columns.
  package subscript(columns columns: Range<Int>) -> MatrixView {
    @_lifetime(copy self) get { self[0..<rowCount, columns] }
  }

  /// A row; the matrix must not be transposed.
  @_lifetime(copy self)
  package func row(_ row: Int) -> Span<Element> { elements.extracting(layout.row(row)) }
}

/// A view of a matrix whose elements somebody else owns; products write it.
///
/// Its rows are contiguous.
package struct MutableMatrixView<Element: Sendable>: ~Copyable, ~Escapable {
  /// The elements that contain the matrix.
  var elements: MutableSpan<Element>
  /// Where the matrix is in `elements`.
  package let layout: MatrixLayout

  /// The number of rows.
  package var rowCount: Int { layout.rowCount }
  /// The number of columns.
  package var columnCount: Int { layout.columnCount }

  /// A matrix inside a span.
  @_lifetime(copy elements)
  package init(_ elements: consuming MutableSpan<Element>, _ layout: MatrixLayout) {
    precondition(layout.columnStride == 1, "a transposed matrix cannot be written")
    precondition(
      layout.extent <= elements.count, "\(layout) needs \(layout.extent) of \(elements.count) elements")
    self.elements = elements
    self.layout = layout
  }

  /// The row-major matrix at the start of a span.
  @_lifetime(copy elements)
  package init(_ elements: consuming MutableSpan<Element>, rows rowCount: Int, columns columnCount: Int) {
    self.init(elements, MatrixLayout(rows: rowCount, columns: columnCount))
  }

  /// A row-major matrix at the start of a span that is used again afterwards.
  @_lifetime(&elements)
  package init(_ elements: inout MutableSpan<Element>, rows rowCount: Int, columns columnCount: Int) {
    self.init(elements.slice(0..<elements.count), rows: rowCount, columns: columnCount)
  }

  /// A view for reading.
  package var view: MatrixView<Element> {
    @_lifetime(borrow self) get { MatrixView(elements.span, layout) }
  }

  /// The part in some rows and columns.
  package subscript(rows: Range<Int>, columns: Range<Int>) -> MutableMatrixView {
    @_lifetime(&self) mutating get {
      MutableMatrixView(elements.slice(0..<elements.count), layout[rows, columns])
    }
  }

  /// Some rows.
  package subscript(rows rows: Range<Int>) -> MutableMatrixView {
    @_lifetime(&self) mutating get { self[rows, 0..<columnCount] }
  }

  /// Some columns.
  package subscript(columns columns: Range<Int>) -> MutableMatrixView {
    @_lifetime(&self) mutating get { self[0..<rowCount, columns] }
  }

  /// A row.
  @_lifetime(&self)
  package mutating func row(_ row: Int) -> MutableSpan<Element> { elements.slice(layout.row(row)) }

  /// All elements, row by row; the rows must be contiguous.
  @_lifetime(&self)
  package mutating func contiguousElements() -> MutableSpan<Element> {
    precondition(
      layout.rowStride == columnCount || rowCount <= 1, "rows of \(columnCount) are \(layout.rowStride) apart"
    )
    let count = rowCount * columnCount
    return elements.slice(count == 0 ? 0..<0 : layout.offset..<layout.offset + count)
  }

  /// The elements as rows of another length; the rows must be contiguous.
  @_lifetime(&self)
  package mutating func reshaped(rows rowCount: Int, columns columnCount: Int) -> MutableMatrixView {
    precondition(
      rowCount * columnCount == self.rowCount * self.columnCount,
      "[\(self.rowCount), \(self.columnCount)] as [\(rowCount), \(columnCount)]")
    return MutableMatrixView(contiguousElements(), rows: rowCount, columns: columnCount)
  }
}

// Swift does not specialize the general functions for other modules: it would look the type up for every row.
extension MatrixView<Float> {
  /// A row; the matrix must not be transposed.
  @_lifetime(copy self)
  package func row(_ row: Int) -> Span<Float> { elements.extracting(layout.row(row)) }
}

extension MutableMatrixView<Float> {
  /// A row.
  @_lifetime(&self)
  package mutating func row(_ row: Int) -> MutableSpan<Float> { elements.slice(layout.row(row)) }
}

/// A view of a bf16 matrix in bytes that somebody else owns, at any address.
package struct BF16View: ~Escapable, Sendable {
  let bytes: RawSpan
  /// Where the matrix is in `bytes`, in elements.
  package let layout: MatrixLayout

  /// A matrix inside bytes.
  @_lifetime(copy bytes)
  package init(_ bytes: RawSpan, _ layout: MatrixLayout) {
    precondition(layout.extent <= bytes.byteCount / 2, "\(layout) in \(bytes.byteCount) bytes")
    self.bytes = bytes
    self.layout = layout
  }

  /// The same matrix with rows and columns exchanged.
  package var transposed: BF16View {
    @_lifetime(copy self) get { BF16View(bytes, layout.transposed) }
  }

  /// The part in some rows and columns.
  package subscript(rows: Range<Int>, columns: Range<Int>) -> BF16View {
    @_lifetime(copy self) get { BF16View(bytes, layout[rows, columns]) }
  }
}

extension Matrix {
  /// A view of the whole matrix for reading.
  package var view: MatrixView<Float> {
    @_lifetime(borrow self) get { MatrixView(values.span, layout) }
  }

  /// A view of the whole matrix for writing.
  package var mutableView: MutableMatrixView<Float> {
    @_lifetime(&self) mutating get {
      let layout = layout
      return MutableMatrixView(values.mutableSpan, layout)
    }
  }
}

extension DoubleMatrix {
  /// A view of the whole matrix for reading.
  package var view: MatrixView<Double> {
    @_lifetime(borrow self) get { MatrixView(values.span, layout) }
  }

  /// A view of the whole matrix for writing.
  package var mutableView: MutableMatrixView<Double> {
    @_lifetime(&self) mutating get {
      let layout = layout
      return MutableMatrixView(values.mutableSpan, layout)
    }
  }
}

extension MutableSpan {
  /// A part of the span for writing; wraps an underscored function of the standard library.
  @_lifetime(&self)
  package mutating func slice(_ range: Range<Int>) -> MutableSpan { _mutatingExtracting(range) }
}
