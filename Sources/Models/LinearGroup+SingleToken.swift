import Checkpoints
package import Kernels

extension LinearGroup {
  /// The number of weights that one task multiplies.
  private static let weightsPerTask = 131_072

  /// Computes the outputs of all linears for one token, adapters included.
  ///
  /// Multiplies the weights as stored, without unpacking them. The result equals `callAsFunction` up to the
  /// order of addition, in a fraction of its time.
  ///
  /// - Parameter x: `[1, in]`.
  /// - Returns: `[1, out]`, the linears' outputs side by side.
  package func outputs(ofSingle x: Matrix) -> Matrix {
    precondition(x.rowCount == 1, "\(x.rowCount) tokens, expected 1")
    var y = Matrix.unspecified(rows: 1, columns: outputCount)
    let tiles = singleTokenTiles
    let reduced = reducedInputs(x)
    let sums = groupSums(x)
    let places = tiles.map { MatrixTile(rows: 0..<1, columns: columns(of: $0.linear).shifted($0.rows)) }
    var whole = y.mutableView
    parallelTiles(of: &whole, places) { index, y in
      let (rows, linear) = (tiles[index].rows, linears[tiles[index].linear])
      var row = y.row(0)
      multiplySingle(linear.weight, rows: rows, x, sums[tiles[index].linear], into: &row)
      if let adapter = linear.adapter, let h = reduced[tiles[index].linear] {
        multiply(
          h.view, adapter.loraB.view[rows: rows].transposed, scale: adapter.scaling, into: &y, adding: true)
      }
      linear.addBias(rows: rows, to: &y)
    }
    return y
  }

  /// The outputs, cut into tiles that depend on the shapes alone.
  private var singleTokenTiles: [OutputTile] {
    let rowsPerTile = max(Self.weightsPerTask / max(inputCount, 1) / 8 * 8, 8)
    return linears.indices.flatMap { index in
      let rowCount = linears[index].weight.rowCount
      return stride(from: 0, to: rowCount, by: rowsPerTile).map {
        OutputTile(linear: index, rows: $0..<min($0 + rowsPerTile, rowCount))
      }
    }
  }

  /// The sums of the input over the groups of each packed linear; empty for a dense linear.
  private func groupSums(_ x: Matrix) -> [[Float]] {
    var known: [Int: [Float]] = [:]
    return linears.map { linear in
      guard let groupSize = linear.weight.packed?.groupSize else { return [] }
      let sums = known[groupSize] ?? pooledSums(x, groupSize: groupSize).values
      known[groupSize] = sums
      return sums
    }
  }

  private func multiplySingle(
    _ weight: Weight, rows: Range<Int>, _ x: Matrix, _ groupSums: [Float], into y: inout MutableSpan<Float>
  ) {
    switch weight.values {
    case .dense(let bytes, let format):
      let rowBytes = weight.columnCount * format.byteWidth
      bytes.withSpan { bytes in
        multiplyDenseRows(
          bytes.extracting(rows.lowerBound * rowBytes..<rows.upperBound * rowBytes), of: format,
          x: x.values.span, into: &y)
      }
    case .packed(let packed):
      let groupCount = weight.columnCount / packed.groupSize
      let tables = rows.lowerBound * groupCount..<rows.upperBound * groupCount
      packed.codes.withSpan { codes in
        multiplyPackedRows(
          codes: codes.extracting(packed.codeRange(rows: rows, columnCount: weight.columnCount)),
          bits: packed.bits, groupSize: packed.groupSize, columnCount: weight.columnCount,
          scales: packed.scales.span.extracting(tables), biases: packed.biases.span.extracting(tables),
          x: x.values.span, groupSums: groupSums.span, into: &y)
      }
    }
  }
}
