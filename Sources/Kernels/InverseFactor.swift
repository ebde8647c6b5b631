/// The upper triangular U with `Uᵀ · U = H⁻¹` for a symmetric positive definite H.
///
/// J reverses rows or columns. With `J · H · J = L · Lᵀ`, `J · L · J` is upper triangular, and U is its
/// inverse, `J · L⁻¹ · J`. The inverse of H itself is never formed.
///
/// Source: GPTQ, arXiv:2210.17323, section 3.3, which factors H⁻¹.
///
/// - Parameters:
///   - matrix: `[order, order]`, symmetric.
///   - order: At least 1.
/// - Returns: U, `[order, order]`, zero below the diagonal. Nil when H is not positive definite in double
///   precision.
package func inverseFactor(of matrix: [Double], order: Int) -> [Double]? {
  precondition(matrix.count == order * order && order > 0, "\(matrix.count) elements, order \(order)")
  // Reversing the elements reverses both rows and columns.
  var triangle = LowerTriangle(order: order, values: [Double](matrix.reversed()))
  guard triangle.factorize() else { return nil }
  triangle.invert()
  var values = triangle.values
  values.reverse()
  for row in 1..<max(order, 1) {
    for column in 0..<row { values[row * order + column] = 0 }
  }
  return values
}

/// The lower triangular L with `L · Lᵀ = H` for a symmetric positive definite H.
///
/// - Parameters:
///   - matrix: `[order, order]`, symmetric.
///   - order: At least 1.
/// - Returns: L, `[order, order]`, zero above the diagonal. Nil when H is not positive definite in double
///   precision.
package func choleskyFactor(of matrix: [Double], order: Int) -> [Double]? {
  precondition(matrix.count == order * order && order > 0, "\(matrix.count) elements, order \(order)")
  var triangle = LowerTriangle(order: order, values: matrix)
  guard triangle.factorize() else { return nil }
  triangle.clearAbove()
  return triangle.values
}

/// `choleskyFactor` and its inverse, which is lower triangular, too.
package func choleskyFactors(of matrix: [Double], order: Int) -> (factor: [Double], inverse: [Double])? {
  guard let factor = choleskyFactor(of: matrix, order: order) else { return nil }
  var triangle = LowerTriangle(order: order, values: factor)
  triangle.invert()
  triangle.clearAbove()
  return (factor, triangle.values)
}

/// The lower triangle of a row-major matrix, computed block by block.
///
/// Elements above the diagonal are not read. On one thread OpenBLAS is twice as fast, but its result changes
/// with the number of threads, and it adds in another order than the one that made the existing files: see
/// `Benchmarks/README.md`, "Linear algebra beside OpenBLAS".
private struct LowerTriangle {
  private static let blockSize = 64
  let order: Int
  var values: [Double]

  private func blocks(from start: Int) -> [Range<Int>] {
    stride(from: start, to: order, by: Self.blockSize).map { $0..<min($0 + Self.blockSize, order) }
  }

  /// Replaces the matrix with its Cholesky factor.
  ///
  /// - Returns: Whether the matrix was positive definite.
  mutating func factorize() -> Bool {
    for block in blocks(from: 0) {
      guard factorizeDiagonal(block) else { return false }
      solveBelow(block)
      updateBehind(block)
    }
    return true
  }

  private mutating func factorizeDiagonal(_ block: Range<Int>) -> Bool {
    for column in block {
      var pivot = values[column * order + column]
      for k in block.lowerBound..<column { pivot -= values[column * order + k] * values[column * order + k] }
      guard pivot > 0, pivot.isFinite else { return false }
      let root = pivot.squareRoot()
      values[column * order + column] = root
      for row in column + 1..<max(block.upperBound, column + 1) {
        var value = values[row * order + column]
        for k in block.lowerBound..<column { value -= values[row * order + k] * values[column * order + k] }
        values[row * order + column] = value / root
      }
    }
    return true
  }

  /// Solves each row below a diagonal block against the block.
  private mutating func solveBelow(_ block: Range<Int>) {
    guard block.upperBound < order else { return }
    let order = order
    let corner = copy(rows: block, columns: block)
    let width = block.count
    var span = values.mutableSpan
    var below = span.slice(block.upperBound * order..<order * order)
    parallelRows(of: &below, columnCount: order, rowsPerChunk: 32) { rows, values in
      for start in stride(from: block.lowerBound, to: rows.count * order, by: order) {
        for column in 0..<width {
          var value = values[start + column]
          for k in 0..<column { value -= values[start + k] * corner[column * width + k] }
          values[start + column] = value / corner[column * width + column]
        }
      }
    }
  }

  /// Subtracts the product of a block's columns with themselves from everything after the block.
  private mutating func updateBehind(_ block: Range<Int>) {
    let order = order
    let below = block.upperBound..<order
    let panel = DoubleMatrix(
      rows: below.count, columns: block.count, values: copy(rows: below, columns: block))
    let tiles = blocks(from: below.lowerBound).map { rows in
      MatrixTile(rows: rows, columns: below.lowerBound..<rows.upperBound)
    }
    var whole = MutableMatrixView(values.mutableSpan, rows: order, columns: order)
    parallelTiles(of: &whole, tiles) { index, tile in
      let rows = tiles[index].rows.shifted(by: -below.lowerBound)
      multiply(
        panel.view[rows: rows], panel.view[rows: 0..<rows.upperBound].transposed, scale: -1, into: &tile,
        adding: true)
    }
  }

  /// Replaces the matrix with its inverse, from the last block to the first.
  mutating func invert() {
    for block in blocks(from: 0).reversed() {
      invertDiagonal(block)
      invertBelow(block)
    }
  }

  private mutating func invertDiagonal(_ block: Range<Int>) {
    for column in block {
      values[column * order + column] = 1 / values[column * order + column]
    }
    for column in block {
      for row in column + 1..<max(block.upperBound, column + 1) {
        var sum = 0.0
        for k in column..<row { sum += values[row * order + k] * values[k * order + column] }
        values[row * order + column] = -sum * values[row * order + row]
      }
    }
  }

  /// Computes `-L₂⁻¹ · L₂₁ · L₁⁻¹` below a block; everything after the block is inverted already.
  private mutating func invertBelow(_ block: Range<Int>) {
    let order = order
    let below = block.upperBound..<order
    guard !below.isEmpty else { return }
    let panel = DoubleMatrix(
      rows: below.count, columns: block.count, values: copy(rows: below, columns: block))
    let corner = DoubleMatrix(
      rows: block.count, columns: block.count,
      values: lower(copy(rows: block, columns: block), block.count))
    var product = DoubleMatrix(rows: below.count, columns: block.count)
    var target = product.mutableView
    multiply(panel.view, corner.view, into: &target)
    let right = product
    let tiles = blocks(from: below.lowerBound).map { MatrixTile(rows: $0, columns: 0..<order) }
    var whole = MutableMatrixView(values.mutableSpan, rows: order, columns: order)
    parallelTiles(of: &whole, tiles) { index, tile in
      let last = tiles[index].rows.upperBound
      // The elements up to the diagonal were inverted before; those above it are not part of the inverse.
      var left = DoubleMatrix(rows: tile.rowCount, columns: last - below.lowerBound)
      for i in 0..<tile.rowCount {
        let row = tile.view.row(i)
        for column in below.lowerBound...tiles[index].rows.lowerBound + i {
          left.values[i * left.columnCount + column - below.lowerBound] = row[column]
        }
      }
      var target = tile[columns: block]
      multiply(left.view, right.view[rows: 0..<left.columnCount], scale: -1, into: &target)
    }
  }

  /// Sets the elements above the diagonal to zero.
  mutating func clearAbove() {
    for row in 0..<order {
      for column in row + 1..<max(order, row + 1) { values[row * order + column] = 0 }
    }
  }

  private func copy(rows: Range<Int>, columns: Range<Int>) -> [Double] {
    rows.flatMap { values[$0 * order + columns.lowerBound..<$0 * order + columns.upperBound] }
  }

  /// A small square matrix with zeros above its diagonal.
  private func lower(_ square: [Double], _ size: Int) -> [Double] {
    square.indices.map { $0 % size <= $0 / size ? square[$0] : 0 }
  }
}

extension Range<Int> {
  fileprivate func shifted(by distance: Int) -> Range<Int> { lowerBound + distance..<upperBound + distance }
}
