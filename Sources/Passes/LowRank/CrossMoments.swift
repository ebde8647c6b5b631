package import Kernels

/// The moments of two vectors, `E[x · yᵀ]`: products per window summed in f32, their sums in double precision.
package struct CrossMoments: Sendable {
  private static let rowsPerChunk = 96
  private var sums: DoubleMatrix
  private var count = 0

  /// Begins with zeros.
  package init(rows: Int, columns: Int) { sums = DoubleMatrix(rows: rows, columns: columns) }

  /// Adds the tokens of a window.
  ///
  /// - Parameters:
  ///   - x: A matrix with one row per token.
  ///   - features: The columns of x to use, as many as the moments have rows.
  ///   - y: `[tokens, columns]`.
  ///   - operands: The type that x and y may be rounded to.
  package mutating func add(
    _ x: Matrix, _ features: Range<Int>, _ y: Matrix, operands: ProductOperands = .f32
  ) {
    precondition(features.count == sums.rowCount && y.columnCount == sums.columnCount)
    count += x.rowCount
    var whole = sums.mutableView
    parallelRows(of: &whole, rowsPerChunk: Self.rowsPerChunk) { rows, part in
      ScratchPool.shared.withMatrix(rows: rows.count, columns: part.columnCount) { product in
        multiply(
          x.view[columns: features][columns: rows].transposed, y.view, into: &product, operands: operands)
        let products = product.view
        for i in 0..<rows.count {
          let row = products.row(i)
          var sums = part.row(i)
          for j in sums.indices { sums[j] += Double(row[j]) }
        }
      }
    }
  }

  /// Adds the tokens of windows that several processes share, in the order of the windows.
  ///
  /// While a process adds its windows to some rows, the next one adds its own to the rows before.
  ///
  /// - Parameters:
  ///   - windows: Two matrices for each window in this process's part, one row per token: the first with as
  ///     many columns as the moments have rows, the second with as many as they have columns.
  ///   - operands: The type that they may be rounded to.
  ///   - group: The processes, which have consecutive parts of the windows.
  /// - Throws: Errors of the communication between processes.
  package mutating func add(
    _ windows: [(x: Matrix, y: Matrix)], operands: ProductOperands, over group: any ProcessGroup
  ) throws {
    let tokens = try group.gathered([Double(windows.reduce(0) { $0 + $1.x.rowCount })])
    count += Int(tokens.reduce(0, +))
    let (rows, columns) = (sums.rowCount, sums.columnCount)
    let length = Self.rowsPerChunk * max(4, rows / (4 * group.count * Self.rowsPerChunk))
    let pieces = stride(from: 0, to: rows, by: length).map { $0..<min($0 + length, rows) }
    func elements(_ piece: Int) -> Range<Int> {
      pieces[piece].lowerBound * columns..<pieces[piece].upperBound * columns
    }
    let start = sums.values
    sums.values = []
    var values: [Double] = []
    values.reserveCapacity(start.count)
    try group.chain(
      pieces: pieces.count,
      begin: { Array(start[elements($0)]) },
      add: { piece, sums in
        var part = CrossMoments(rows: pieces[piece].count, columns: columns)
        part.sums.values = sums
        for window in windows { part.add(window.x, pieces[piece], window.y, operands: operands) }
        sums = part.sums.values
      },
      end: { values += $1 })
    sums.values = values
  }

  /// Gives up the sums for the means, `[rows, columns]`.
  package consuming func takeMeans() -> DoubleMatrix {
    let factor = 1 / Double(max(count, 1))
    var values = sums.values.mutableSpan
    for i in values.indices { values[i] *= factor }
    return sums
  }

  /// The means, `[rows, columns]`.
  package var means: DoubleMatrix { sums.scaled(by: 1 / Double(max(count, 1))) }
}
