/// A symmetric matrix as `Q · T · Qᵀ` with T tridiagonal and Q a product of reflections.
///
/// Reflection `j` is `I - factors[j] · v · vᵀ`, where v is zero up to element `j`. Q is the product of the
/// reflections, the first one leftmost. Columns are taken in panels. Within a panel, the changes of earlier
/// columns are applied to one column at a time; after the panel, they are applied to the rest as one product
/// of matrices.
///
/// Source: Dongarra, Hammarling and Sorensen, "Block reduction of matrices to condensed forms", 1989, as
/// LAPACK's `dsytrd`.
struct Tridiagonal: Sendable {
  private static let panelWidth = 32
  private static let rowsPerChunk = 96
  let order: Int
  private(set) var diagonal: [Double]
  /// Element `i` couples `i` and `i + 1`; the last one is zero.
  private(set) var offDiagonal: [Double]
  private var factors: [Double]
  /// The rest of the matrix; once column `j` is reduced, row `j` holds the v of reflection `j`.
  private var matrix: [Double]

  /// Reduces a matrix.
  ///
  /// - Parameters:
  ///   - matrix: `[order, order]`, symmetric, its elements far from overflow.
  ///   - order: At least 1.
  init(_ matrix: [Double], order: Int) {
    self.order = order
    self.matrix = matrix
    diagonal = [Double](repeating: 0, count: order)
    offDiagonal = diagonal
    factors = diagonal
    for start in stride(from: 0, to: order, by: Self.panelWidth) {
      var panel = Panel(columns: start..<min(start + Self.panelWidth, order), order: order)
      for column in panel.columns { reduce(column, &panel) }
      update(after: panel)
    }
  }

  /// The vectors v and w of a panel; each column changes the matrix to `A - v · wᵀ - w · vᵀ`.
  private struct Panel {
    let columns: Range<Int>
    let order: Int
    /// `[columns, order]`.
    var v: [Double]
    var w: [Double]

    init(columns: Range<Int>, order: Int) {
      self.columns = columns
      self.order = order
      v = [Double](repeating: 0, count: columns.count * order)
      w = v
    }

    /// The range of a column's vector from a row on.
    func range(of column: Int, from row: Int) -> Range<Int> {
      let start = (column - columns.lowerBound) * order
      return start + row..<start + order
    }
  }

  private mutating func reduce(_ column: Int, _ panel: inout Panel) {
    var x = Array(matrix[column * order + column..<(column + 1) * order])
    var span = x.mutableSpan
    for earlier in panel.columns.lowerBound..<column {
      let range = panel.range(of: earlier, from: column)
      addScaled(panel.v.span.extracting(range), scale: -panel.w[range.lowerBound], to: &span)
      addScaled(panel.w.span.extracting(range), scale: -panel.v[range.lowerBound], to: &span)
    }
    diagonal[column] = x[0]
    guard column + 1 < order else { return }
    x.removeFirst()
    (offDiagonal[column], factors[column]) = Self.reflect(&x)
    let range = panel.range(of: column, from: column + 1)
    panel.v.replaceSubrange(range, with: x)
    panel.w.replaceSubrange(range, with: update(of: column, x, panel))
    matrix.replaceSubrange(column * order + column + 1..<(column + 1) * order, with: x)
  }

  /// Replaces a vector with the v of the reflection that takes it to a multiple of the first axis.
  ///
  /// - Returns: The multiple, and the factor of the reflection; 0 when there is nothing to do.
  private static func reflect(_ x: inout [Double]) -> (value: Double, factor: Double) {
    let first = x[0]
    x[0] = 0
    let rest = dot(x.span, x.span)
    x[0] = 1
    guard rest > 0 else { return (first, 0) }
    let length = (first * first + rest).squareRoot()
    let value = first > 0 ? -length : length
    for i in 1..<x.count { x[i] /= first - value }
    return (value, (value - first) / value)
  }

  /// The w of a column, `f · A · v - f² / 2 · (vᵀ · A · v) · v`, where A includes the changes of the panel's
  /// earlier columns.
  private func update(of column: Int, _ v: [Double], _ panel: Panel) -> [Double] {
    let (factor, first, order) = (factors[column], column + 1, order)
    var w = [Double](repeating: 0, count: v.count)
    guard factor != 0 else { return w }
    var span = w.mutableSpan
    parallelRows(of: &span, columnCount: 1, rowsPerChunk: Self.rowsPerChunk) { rows, part in
      for (i, row) in rows.enumerated() {
        let start = (first + row) * order
        part[i] = dot(matrix.span.extracting(start + first..<start + order), v.span)
      }
    }
    for earlier in panel.columns.lowerBound..<column {
      let range = panel.range(of: earlier, from: first)
      let (pv, pw) = (panel.v.span.extracting(range), panel.w.span.extracting(range))
      let (vProduct, wProduct) = (dot(pv, v.span), dot(pw, v.span))
      addScaled(pv, scale: -wProduct, to: &span)
      addScaled(pw, scale: -vProduct, to: &span)
    }
    for i in span.indices { span[i] *= factor }
    let product = dot(span.span, v.span)
    addScaled(v.span, scale: -0.5 * factor * product, to: &span)
    return w
  }

  /// Subtracts `v · wᵀ + w · vᵀ` of a whole panel from everything after the panel.
  private mutating func update(after panel: Panel) {
    let order = order
    let tail = panel.columns.upperBound..<order
    let stepCount = 2 * panel.columns.count
    let left = DoubleMatrix(rows: stepCount, columns: order, values: panel.v + panel.w)
    let right = DoubleMatrix(rows: stepCount, columns: order, values: panel.w + panel.v)
    var whole = MutableMatrixView(matrix.mutableSpan, rows: order, columns: order)
    var rest = whole[tail, tail]
    parallelRows(of: &rest, rowsPerChunk: Self.rowsPerChunk) { rows, part in
      multiply(
        left.view[columns: tail][columns: rows].transposed, right.view[columns: tail], scale: -1, into: &part,
        adding: true)
    }
  }

  /// Turns eigenvectors of T into those of the matrix: `Q · z`.
  ///
  /// - Parameter vectors: One vector per row, `[count, order]`.
  func turnBack(_ vectors: inout DoubleMatrix) {
    guard vectors.rowCount > 0 else { return }
    let order = order
    var span = vectors.values.mutableSpan
    parallelRows(of: &span, columnCount: order, rowsPerChunk: 8) { rows, part in
      for column in (0..<order).reversed() where factors[column] != 0 {
        let v = matrix.span.extracting(column * order + column + 1..<(column + 1) * order)
        for i in 0..<rows.count {
          var vector = part.slice(i * order + column + 1..<(i + 1) * order)
          let product = dot(v, vector.span)
          addScaled(v, scale: -factors[column] * product, to: &vector)
        }
      }
    }
  }
}
