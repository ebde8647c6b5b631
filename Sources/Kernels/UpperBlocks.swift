/// The upper triangle of a square matrix, in blocks of rows.
///
/// A block has 256 rows, the last one maybe fewer, and begins at the column of its first row: block `b` is
/// `[rows, order - 256 * b]`, row-major. Elements of a block below the diagonal are not part of the matrix.
package struct UpperBlocks<Element: Sendable>: Sendable {
  /// The number of rows in a block; a multiple of every group size.
  package static var blockSize: Int { 256 }
  /// The number of rows and columns of the matrix.
  package let order: Int
  /// The elements of each block.
  package fileprivate(set) var blocks: [[Element]]

  /// The rows of a block.
  package func rows(ofBlock block: Int) -> Range<Int> {
    block * Self.blockSize..<min((block + 1) * Self.blockSize, order)
  }

  /// The columns of a block, from its first row on.
  private func width(ofBlock block: Int) -> Int { order - block * Self.blockSize }

  /// The layout of a whole block.
  package func layout(ofBlock block: Int) -> MatrixLayout {
    MatrixLayout(rows: rows(ofBlock: block).count, columns: width(ofBlock: block))
  }

  /// The block that holds some rows, and the layout of their part in some columns.
  ///
  /// - Parameters:
  ///   - rows: Rows of one block.
  ///   - columns: Columns from the block's first row on.
  /// - Returns: The index in `blocks`, and the layout in that block.
  package func part(rows: Range<Int>, columns: Range<Int>) -> (block: Int, layout: MatrixLayout) {
    let block = rows.lowerBound / Self.blockSize
    let start = block * Self.blockSize
    return (block, layout(ofBlock: block)[rows.shifted(by: -start), columns.shifted(by: -start)])
  }
}

extension Range<Int> {
  fileprivate func shifted(by offset: Int) -> Range<Int> { lowerBound + offset..<upperBound + offset }
}

extension UpperBlocks<Double> {
  private static var tileRows: Int { 128 }
  private static var tileColumns: Int { 256 }
  /// The number of rows that are divided together.
  private static var dividedRows: Int { 64 }

  /// Takes the elements of a symmetric matrix.
  ///
  /// - Parameters:
  ///   - order: The number of rows.
  ///   - row: Writes a row's elements from a column on; called on several threads.
  package init(order: Int, row: @Sendable (_ row: Int, _ firstColumn: Int, inout MutableSpan<Double>) -> Void)
  {
    self.order = order
    blocks = []
    for start in stride(from: 0, to: order, by: Self.blockSize) {
      let (count, width) = (min(Self.blockSize, order - start), order - start)
      var block = [Double](repeating: 0, count: count * width)
      var span = block.mutableSpan
      parallelRows(of: &span, columnCount: width, rowsPerChunk: 8) { rows, part in
        for (i, index) in rows.enumerated() {
          var elements = part.slice(i * width..<(i + 1) * width)
          row(start + index, start, &elements)
        }
      }
      blocks.append(block)
    }
  }

  /// Replaces the triangle of a positive definite matrix by U, upper triangular, with `Uᵀ · U` the matrix.
  ///
  /// Works on all threads; the order of the sums depends only on the order of the matrix.
  ///
  /// - Returns: Whether the matrix is finite and positive definite in double precision; otherwise its
  ///   elements are of no use.
  package mutating func factor() -> Bool {
    for block in blocks.indices {
      // Taken out, so that the blocks above it can be read while it is written.
      var current = blocks[block]
      blocks[block] = []
      subtractProducts(of: blocks[..<block], from: &current, block)
      guard divide(&current, block) else { return false }
      blocks[block] = current
    }
    return true
  }

  /// Subtracts the products of the factored blocks.
  private func subtractProducts(of factored: ArraySlice<[Double]>, from current: inout [Double], _ block: Int)
  {
    guard !factored.isEmpty else { return }
    let start = rows(ofBlock: block).lowerBound
    let layout = layout(ofBlock: block)
    let tiles = Self.tiles(of: layout)
    var whole = MutableMatrixView(current.mutableSpan, layout)
    parallelTiles(of: &whole, tiles) { index, part in
      for above in factored.indices {
        let elements = factored[above]
        let view = MatrixView(elements.span, self.layout(ofBlock: above))
        let offset = start - above * Self.blockSize
        multiply(
          view[columns: tiles[index].rows.shifted(by: offset)].transposed,
          view[columns: tiles[index].columns.shifted(by: offset)], scale: -1, into: &part, adding: true)
      }
    }
  }

  private static func tiles(of layout: MatrixLayout) -> [MatrixTile] {
    stride(from: 0, to: layout.rowCount, by: tileRows).flatMap { row in
      stride(from: 0, to: layout.columnCount, by: tileColumns).map { column in
        MatrixTile(
          rows: row..<min(row + tileRows, layout.rowCount),
          columns: column..<min(column + tileColumns, layout.columnCount))
      }
    }
  }

  /// Factors the diagonal part D of a block, and multiplies the rest of the block by the inverse of its
  /// factor.
  private func divide(_ current: inout [Double], _ block: Int) -> Bool {
    let layout = layout(ofBlock: block)
    let (count, width) = (layout.rowCount, layout.columnCount)
    var lower = [Double](repeating: 0, count: count * count)
    for i in 0..<count {
      for j in 0...i { lower[i * count + j] = current[j * width + i] }
    }
    guard let factors = choleskyFactors(ofLower: lower, order: count) else { return false }
    for i in 0..<count {
      for j in 0..<count { current[j * width + i] = factors.factor[i * count + j] }
    }
    let inverse = DoubleMatrix(rows: count, columns: count, values: factors.inverse)
    let tiles = stride(from: count, to: width, by: Self.tileColumns).map {
      MatrixTile(rows: 0..<count, columns: $0..<Swift.min($0 + Self.tileColumns, width))
    }
    var whole = MutableMatrixView(current.mutableSpan, layout)
    parallelTiles(of: &whole, tiles) { index, part in
      let columnCount = tiles[index].columns.count
      ScratchPool.shared.withDoubles(count * columnCount) { scratch in
        for i in 0..<count {
          let row = part.row(i)
          for j in 0..<columnCount { scratch[i * columnCount + j] = row[j] }
        }
        multiply(
          inverse.view, MatrixView(scratch.span, rows: count, columns: columnCount), into: &part)
      }
    }
    return true
  }

  /// Multiplies a matrix from the right by the inverse of the factored one, `(Uᵀ · U)⁻¹`.
  ///
  /// The inverse is not formed: each row of the matrix is solved for, first with U, then with Uᵀ. Works on all
  /// threads; the order of the sums depends only on the shape.
  ///
  /// - Parameter matrix: `[rows, order]`; becomes `matrix · (Uᵀ · U)⁻¹`.
  /// - Precondition: `factor` has succeeded.
  package func divide(_ matrix: inout DoubleMatrix) {
    precondition(matrix.columnCount == order, "\(matrix.columnCount) columns, order \(order)")
    let inverses = blocks.indices.map { inverseOfLower(ofBlock: $0) }
    var whole = matrix.mutableView
    parallelRows(of: &whole, rowsPerChunk: Self.dividedRows) { _, part in
      // With C the matrix: Y · U = C from the left to the right, then X · Uᵀ = Y from the right to the left.
      for block in blocks.indices { divideByFactor(&part, block, inverses[block]) }
      for block in blocks.indices.reversed() { divideByTranspose(&part, block, inverses[block]) }
    }
  }

  /// Replaces the columns of a block by those of Y, and subtracts their products from the columns after them.
  ///
  /// - Parameters:
  ///   - rows: Some rows; Y in the columns before the block.
  ///   - block: The block.
  ///   - inverse: The inverse of the transposed diagonal part of the block.
  private func divideByFactor(
    _ rows: inout MutableMatrixView<Double>, _ block: Int, _ inverse: DoubleMatrix
  ) {
    let (columns, rowCount, elements) = (self.rows(ofBlock: block), rows.rowCount, blocks[block])
    let right = MatrixView(elements.span, layout(ofBlock: block))[
      columns: columns.count..<width(ofBlock: block)]
    ScratchPool.shared.withDoubles(rowCount * columns.count) { scratch in
      var divided = MutableMatrixView(&scratch, rows: rowCount, columns: columns.count)
      multiply(rows.view[columns: columns], inverse.view.transposed, into: &divided)
      var rest = rows[columns: columns.upperBound..<order]
      multiply(divided.view, right, scale: -1, into: &rest, adding: true)
      var target = rows[columns: columns]
      target.copy(divided.view)
    }
  }

  /// Replaces the columns of a block of Y by those of X.
  ///
  /// - Parameters:
  ///   - rows: Some rows; X in the columns after the block, Y in the others.
  ///   - block: The block.
  ///   - inverse: The inverse of the transposed diagonal part of the block.
  private func divideByTranspose(
    _ rows: inout MutableMatrixView<Double>, _ block: Int, _ inverse: DoubleMatrix
  ) {
    let (columns, rowCount, elements) = (self.rows(ofBlock: block), rows.rowCount, blocks[block])
    let right = MatrixView(elements.span, layout(ofBlock: block))[
      columns: columns.count..<width(ofBlock: block)]
    ScratchPool.shared.withDoubles(rowCount * columns.count) { scratch in
      var left = MutableMatrixView(&scratch, rows: rowCount, columns: columns.count)
      left.copy(rows.view[columns: columns])
      multiply(
        rows.view[columns: columns.upperBound..<order], right.transposed, scale: -1, into: &left,
        adding: true)
      var divided = rows[columns: columns]
      multiply(left.view, inverse.view, into: &divided)
    }
  }

  /// The inverse of a block's transposed diagonal part, lower triangular.
  private func inverseOfLower(ofBlock block: Int) -> DoubleMatrix {
    let layout = layout(ofBlock: block)
    let (count, width) = (layout.rowCount, layout.columnCount)
    var lower = DoubleMatrix(rows: count, columns: count)
    for i in 0..<count {
      for j in 0...i { lower.values[i * count + j] = blocks[block][j * width + i] }
    }
    LAPACK.invertLower(&lower.values, order: count)
    return lower
  }

  /// The diagonal of the matrix.
  package var diagonal: [Double] {
    blocks.indices.flatMap { block in
      let (count, width) = (rows(ofBlock: block).count, width(ofBlock: block))
      return (0..<count).map { blocks[block][$0 * width + $0] }
    }
  }

  /// Gives up the matrix for its rows divided by their diagonal elements, in single precision; zeros are
  /// below the diagonal.
  package consuming func unitRows() -> UpperBlocks<Float> {
    var units: [[Float]] = []
    for block in blocks.indices {
      let values = blocks[block]
      blocks[block] = []
      let width = width(ofBlock: block)
      var rows = [Float](repeating: 0, count: values.count)
      var span = rows.mutableSpan
      parallelRows(of: &span, columnCount: width, rowsPerChunk: 8) { range, part in
        for (i, row) in range.enumerated() {
          let diagonal = values[row * width + row]
          for j in row..<width { part[i * width + j] = Float(values[row * width + j] / diagonal) }
        }
      }
      units.append(rows)
    }
    return UpperBlocks<Float>(order: order, blocks: units)
  }
}

extension MutableMatrixView<Double> {
  /// Takes the elements of a matrix of the same shape.
  fileprivate mutating func copy(_ matrix: MatrixView<Double>) {
    for i in 0..<rowCount {
      let source = matrix.row(i)
      var target = row(i)
      for j in target.indices { target[j] = source[j] }
    }
  }
}
