package import Kernels

/// The second moments of a linear's input, `E[x · xᵀ]`: products of a window in f32, added up in double precision.
package struct SecondMoments: Sendable {
  /// The input features.
  package let order: Int
  /// The tokens added.
  package private(set) var count = 0
  /// The sums; of tiles below the diagonal nothing is kept.
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
    addProducts(x, x, order: order, isSymmetric: true, to: &sums)
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

/// Adds the products of two inputs' features, summed over the tokens, to sums in double precision.
///
/// - Parameters:
///   - x: `[tokens, order]`.
///   - y: As many.
///   - order: The features.
///   - isSymmetric: Whether tiles below the diagonal are left out.
///   - sums: `[order, order]`, features of `x` first.
func addProducts(_ x: Matrix, _ y: Matrix, order: Int, isSymmetric: Bool, to sums: inout [Double]) {
  let tileSize = 192
  let ranges = stride(from: 0, to: order, by: tileSize).map { $0..<min($0 + tileSize, order) }
  let tiles = ranges.indices.flatMap { i in
    ((isSymmetric ? i : 0)..<ranges.count).map { (rows: ranges[i], columns: ranges[$0]) }
  }
  let tokens = 0..<x.rowCount
  var span = sums.mutableSpan
  parallelTiles(of: &span, count: tiles.count) { index, sums in
    let (rows, columns) = tiles[index]
    ScratchPool.shared.withScratch(rows.count * columns.count) { product in
      multiply(
        .transposedLeft, x.values.span, x.layout[tokens, rows], y.values.span, y.layout[tokens, columns],
        into: &product, MatrixLayout(rows: rows.count, columns: columns.count))
      for i in 0..<rows.count {
        let start = (rows.lowerBound + i) * order + columns.lowerBound
        for j in 0..<columns.count { sums[start + j] += Double(product[i * columns.count + j]) }
      }
    }
  }
}
