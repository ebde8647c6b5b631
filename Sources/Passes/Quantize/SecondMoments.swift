package import Kernels

/// The second moments of a linear's input, `E[x · xᵀ]`: products per window in f32, summed in double
/// precision.
package struct SecondMoments: Sendable {
  private static let tileSize = 192
  /// The number of input features.
  package let order: Int
  /// The number of tokens added.
  package private(set) var count = 0
  /// The sums; tiles below the diagonal are not stored.
  private var sums: [Double]

  package init(order: Int) {
    self.order = order
    sums = [Double](repeating: 0, count: order * order)
  }

  /// Adds the tokens of a window.
  ///
  /// - Parameter x: `[tokens, order]`.
  package mutating func add(_ x: Matrix) {
    let order = order
    precondition(x.columnCount == order, "\(x.columnCount) features, order \(order)")
    count += x.rowCount
    let ranges = stride(from: 0, to: order, by: Self.tileSize).map { $0..<min($0 + Self.tileSize, order) }
    let tiles = ranges.indices.flatMap { i in
      (i..<ranges.count).map { MatrixTile(rows: ranges[i], columns: ranges[$0]) }
    }
    var whole = MutableMatrixView(sums.mutableSpan, rows: order, columns: order)
    parallelTiles(of: &whole, tiles) { index, sums in
      let (rows, columns) = (tiles[index].rows, tiles[index].columns)
      ScratchPool.shared.withMatrix(rows: rows.count, columns: columns.count) { product in
        multiply(x.view[columns: rows].transposed, x.view[columns: columns], into: &product)
        for i in 0..<rows.count {
          let products = product.view.row(i)
          var row = sums.row(i)
          for j in row.indices { row[j] += Double(products[j]) }
        }
      }
    }
  }

  /// The means, `[order, order]`, symmetric.
  package var means: [Double] {
    var means = sums
    let factor = 1 / Double(max(count, 1))
    for i in 0..<order {
      for j in i..<order {
        means[i * order + j] = sums[i * order + j] * factor
        means[j * order + i] = means[i * order + j]
      }
    }
    return means
  }

  /// The means of the squares, `[order]`.
  package var importance: [Float] {
    (0..<order).map { Float(sums[$0 * order + $0] / Double(max(count, 1))) }
  }

  /// Whether every sum is finite.
  var isFinite: Bool { (0..<order).allSatisfy { sums[$0 * order + $0].isFinite } }
}
