package import Kernels

/// The second moments of a linear's input, `E[x · xᵀ]`: products per window summed in f32, their
/// sums in double precision.
package struct SecondMoments: Sendable {
  private static let tileSize = 192
  /// The number of input features.
  package let order: Int
  /// The number of tokens added.
  package private(set) var count = 0
  /// The sums of each tile, those on and right of the diagonal, row by row.
  private var tiles: [Tile]

  fileprivate struct Tile {
    let rows: Range<Int>
    let columns: Range<Int>
    /// `[rows, columns]`.
    var sums: [Double]
  }

  package init(order: Int) {
    self.order = order
    let ranges = stride(from: 0, to: order, by: Self.tileSize).map { $0..<min($0 + Self.tileSize, order) }
    tiles = ranges.indices.flatMap { i in
      ranges[i...].map { columns in
        let count = ranges[i].count * columns.count
        return Tile(rows: ranges[i], columns: columns, sums: [Double](repeating: 0, count: count))
      }
    }
  }

  /// Adds the tokens of a window.
  ///
  /// - Parameters:
  ///   - x: `[tokens, order]`.
  ///   - operands: The type that x may be rounded to.
  package mutating func add(_ x: Matrix, operands: ProductOperands = .f32) {
    precondition(x.columnCount == order, "\(x.columnCount) features, order \(order)")
    count += x.rowCount
    Self.add(x, operands, to: &tiles)
  }

  private static func add(_ x: Matrix, _ operands: ProductOperands, to tiles: inout [Tile]) {
    var tiles = tiles.mutableSpan
    parallelElements(of: &tiles) { _, tile in
      let (rows, columns) = (tile.rows, tile.columns)
      var sums = tile.sums.mutableSpan
      ScratchPool.shared.withMatrix(rows: rows.count, columns: columns.count) { product in
        multiply(
          x.view[columns: rows].transposed, x.view[columns: columns], into: &product, operands: operands)
        let products = product.view
        for i in 0..<rows.count {
          let row = products.row(i)
          let start = i * columns.count
          for j in 0..<row.count { sums[start + j] += Double(row[j]) }
        }
      }
    }
  }

  /// Adds the tokens of windows that several processes share, in the order of the windows.
  ///
  /// While a process adds its windows to some tiles, the next one adds its own to the tiles before.
  ///
  /// - Parameters:
  ///   - windows: The inputs in this process's part of the windows, `[tokens, order]` each.
  ///   - operands: The type that they may be rounded to.
  ///   - group: The processes, which have consecutive parts of the windows.
  /// - Throws: Errors of the communication between processes.
  package mutating func add(
    _ windows: [Matrix], operands: ProductOperands, over group: any ProcessGroup
  ) throws {
    let tokens = try group.gathered([Double(windows.reduce(0) { $0 + $1.rowCount })])
    count += Int(tokens.reduce(0, +))
    let start = tiles
    var result = tiles
    tiles = []
    // Several tiles at a time keep the threads of a process busy; several pieces keep the processes busy.
    let length = max(4, start.count / (4 * group.count))
    let pieces = stride(from: 0, to: start.count, by: length).map { $0..<min($0 + length, start.count) }
    try group.chain(
      pieces: pieces.count,
      begin: { Array(start[pieces[$0]]).sums },
      add: { index, sums in
        var part = Array(start[pieces[index]])
        part.sums = sums
        for window in windows { Self.add(window, operands, to: &part) }
        sums = part.sums
      },
      end: { index, sums in
        var part = Array(result[pieces[index]])
        part.sums = sums
        result.replaceSubrange(pieces[index], with: part)
      })
    tiles = result
  }

  private var rangeCount: Int { (order + Self.tileSize - 1) / Self.tileSize }

  /// The tile at a row and a column of tiles, `column >= row`.
  private func tile(_ row: Int, _ column: Int) -> Tile {
    tiles[row * rangeCount - row * (row - 1) / 2 + column - row]
  }

  /// Writes the means.
  ///
  /// - Parameters:
  ///   - values: `[order, stride]`; gets the symmetric matrix in its first `order` columns.
  ///   - stride: The elements from one row to the next.
  func writeMeans<T: BinaryFloatingPoint & SendableMetatype>(into values: inout MutableSpan<T>, stride: Int) {
    guard order > 0 else { return }
    let factor = 1 / Double(max(count, 1))
    parallelRows(of: &values, columnCount: stride, rowsPerChunk: Self.tileSize) { rows, part in
      let index = rows.lowerBound / Self.tileSize
      for other in 0..<rangeCount {
        let tile = tile(min(index, other), max(index, other))
        let sums = tile.sums.span
        let (width, isMirrored) = (tile.columns.count, other < index)
        let columns = isMirrored ? tile.rows : tile.columns
        for i in 0..<rows.count {
          for j in 0..<columns.count {
            // Of a tile on the diagonal, what is below it is mirrored, too.
            let isBelow = isMirrored || (other == index && j < i)
            let sum = isBelow ? sums[j * width + i] : sums[i * width + j]
            part[i * stride + columns.lowerBound + j] = T(sum * factor)
          }
        }
      }
    }
  }

  /// The means, `[order, order]`, symmetric.
  package var means: [Double] {
    var means = [Double](repeating: 0, count: order * order)
    var span = means.mutableSpan
    writeMeans(into: &span, stride: order)
    return means
  }

  /// The sums of the squares, `[order]`.
  private var squares: [Double] {
    (0..<rangeCount).flatMap { index in
      let tile = tile(index, index)
      return tile.rows.indices.map { tile.sums[($0 - tile.rows.lowerBound) * (tile.columns.count + 1)] }
    }
  }

  /// The means of the squares, `[order]`.
  package var importance: [Float] { squares.map { Float($0 / Double(max(count, 1))) } }

  /// Whether every sum is finite.
  var isFinite: Bool { squares.allSatisfy(\.isFinite) }
}

extension [SecondMoments.Tile] {
  /// The sums of all tiles in one list.
  fileprivate var sums: [Double] {
    get { flatMap(\.sums) }
    set {
      var rest = newValue[...]
      for index in indices {
        let size = self[index].sums.count
        self[index].sums = [Double](rest.prefix(size))
        rest = rest.dropFirst(size)
      }
    }
  }
}

/// The second moments of a linear's input as a matrix of floats.
package struct MomentMatrix: Sendable {
  /// The number of input features.
  package let order: Int
  /// The elements from one row to the next: a few more than a row has, because rows that are a multiple of 4
  /// KB apart would displace each other from the first-level cache.
  private let stride: Int
  private let values: [Float]

  /// Takes the means of moments.
  ///
  /// - Parameters:
  ///   - moments: The sums.
  ///   - ridge: What is added to the diagonal, as a share of its mean.
  package init(_ moments: SecondMoments, ridge: Float = 0) {
    order = moments.order
    stride = moments.order + 16
    var values = [Float](repeating: 0, count: order * stride)
    var span = values.mutableSpan
    moments.writeMeans(into: &span, stride: stride)
    if ridge > 0 {
      let step = stride + 1
      var sum: Float = 0
      for i in 0..<order { sum += span[i * step] }
      for i in 0..<order { span[i * step] += ridge * sum / Float(max(order, 1)) }
    }
    self.values = values
  }

  /// `[order, order]`, symmetric.
  var view: MatrixView<Float> {
    @_lifetime(borrow self) get {
      MatrixView(values.span, MatrixLayout(rows: order, columns: order, stride: stride))
    }
  }

  /// The diagonal, `[order]`.
  var diagonal: [Float] { (0..<order).map { values[$0 * (stride + 1)] } }

  /// An element.
  subscript(row: Int, column: Int) -> Float { values[row * stride + column] }
}
