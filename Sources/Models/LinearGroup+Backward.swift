import Checkpoints
package import Kernels

/// The parameters of linears that are trained.
package struct TrainedParts: OptionSet, Sendable, Hashable {
  package let rawValue: Int
  package init(rawValue: Int) { self.rawValue = rawValue }
  /// The factors of the adapters.
  package static let adapter = TrainedParts(rawValue: 1)
  /// The biases of packed weights.
  package static let bias = TrainedParts(rawValue: 2)
  /// The scales of packed weights.
  package static let scale = TrainedParts(rawValue: 4)
  /// The codes of packed weights.
  package static let code = TrainedParts(rawValue: 8)
}

/// The gradients of the trained parameters of one linear; arrays of other parameters are empty.
package struct LinearGradients: Sendable {
  /// `[rank, A's columns]`.
  package var loraA: [Float] = []
  /// `[out, rank]`.
  package var loraB: [Float] = []
  /// `[out, in / groupSize]`.
  package var scales: [Float] = []
  /// `[out, in / groupSize]`.
  package var biases: [Float] = []
  /// `[out, in]`: the weight's gradient when codes are trained.
  ///
  /// The gradients of scales and biases follow from it.
  package var weights: [Float] = []

  /// Creates zeros for the parameters in `parts` that the linear has.
  package init(for linear: Linear, training parts: TrainedParts) {
    if parts.contains(.adapter), let adapter = linear.adapter {
      loraA = [Float](repeating: 0, count: adapter.loraA.values.count)
      loraB = [Float](repeating: 0, count: adapter.loraB.values.count)
    }
    guard let packed = linear.weight.packed else { return }
    if parts.contains(.code) {
      weights = [Float](repeating: 0, count: linear.weight.rowCount * linear.weight.columnCount)
      return
    }
    if parts.contains(.scale) { scales = [Float](repeating: 0, count: packed.scales.count) }
    if !parts.isDisjoint(with: [.bias, .scale]) {
      biases = [Float](repeating: 0, count: packed.biases.count)
    }
  }
}

extension LinearGroup {
  /// Computes the gradient of the input and adds the gradients of the trained parameters.
  ///
  /// - Parameters:
  ///   - x: The input, `[tokens, in]`.
  ///   - dy: The gradient of the outputs, `[tokens, out]`.
  ///   - gradients: One per linear; added to.
  ///   - dx: `[tokens, in]`; overwritten.
  package func backward(x: Matrix, dy: Matrix, gradients: inout [LinearGradients], into dx: inout Matrix) {
    var reducedGradients: [Matrix?] = []
    for index in linears.indices {
      let outputs = columns(of: index)
      reducedGradients.append(
        linears[index].adapter.map { adapter in
          let dh = adapter.reducedGradient(dy.view[columns: outputs])
          if !gradients[index].loraB.isEmpty {
            adapter.addGradients(
              x: x, dy: dy.view[columns: outputs], dh: dh, operands: operands, to: &gradients[index])
          }
          return dh
        })
      addTableGradients(
        of: linears[index], x: x, dy: dy.view[columns: outputs], operands: operands, to: &gradients[index])
    }
    inputGradient(dy, reducedGradients, into: &dx)
  }

  private func inputGradient(_ dy: Matrix, _ reducedGradients: [Matrix?], into dx: inout Matrix) {
    let gradients = linears.indices.map { LeftOperand(dy.view[columns: columns(of: $0)], for: operands) }
    let tiles = inputTiles(tokenCount: dx.rowCount, tokenUnit: gradients[0].unit.rows)
    var whole = dx.mutableView
    parallelTiles(of: &whole, tiles) { index, dx in
      let (tokens, columns) = (tiles[index].rows, tiles[index].columns)
      for (index, linear) in linears.enumerated() {
        multiply(
          gradients[index], rows: tokens, byColumns: columns, of: linear.weight, into: &dx,
          adding: index > 0)
        if let adapter = linear.adapter, let dh = reducedGradients[index] {
          adapter.addInputGradient(dh.view[rows: tokens], columns: columns, operands: operands, into: &dx)
        }
      }
    }
  }

  /// Tiles of the input's gradient, with tokens as rows and columns cut at the groups' edges.
  ///
  /// If the number of tiles is odd, the last one is halved.
  private func inputTiles(tokenCount: Int, tokenUnit: Int) -> [MatrixTile] {
    let granularity = linears.reduce(8) { unit, linear in
      leastCommonMultiple(
        leastCommonMultiple(unit, linear.weight.columnGranularity), linear.adapter?.groupSize ?? 1)
    }
    var tiles = WeightTile.columns(of: inputCount, granularity: granularity).map {
      MatrixTile(rows: 0..<tokenCount, columns: $0)
    }
    let halves = evenRanges(of: tokenCount, count: 2, unit: tokenUnit)
    if tiles.count % 2 == 1, halves.count == 2, let last = tiles.popLast() {
      tiles += halves.map { MatrixTile(rows: $0, columns: last.columns) }
    }
    return tiles
  }
}

extension LowRankAdapter {
  /// The gradient of the adapter's `A · input`: `scaling · dy · B`, `[tokens, rank]`.
  fileprivate func reducedGradient(_ dy: MatrixView<Float>) -> Matrix {
    var dh = Matrix.unspecified(rows: dy.rowCount, columns: rank)
    var whole = dh.mutableView
    parallelRows(of: &whole, rowsPerChunk: 64) { rows, part in
      multiply(dy[rows: rows], loraB.view, scale: scaling, into: &part)
    }
    return dh
  }

  /// Adds `dB = scaling · dyᵀ · h` and `dA = dhᵀ · input`.
  fileprivate func addGradients(
    x: Matrix, dy: MatrixView<Float>, dh: Matrix, operands: ProductOperands,
    to gradients: inout LinearGradients
  ) {
    let input = adapterInput(x)
    let h = reduce(input)
    var dB = MutableMatrixView(gradients.loraB.mutableSpan, loraB.layout)
    parallelRows(of: &dB, rowsPerChunk: 96) { rows, part in
      // Transposed, the product has few rows, and reads `dy` in its order.
      ScratchPool.shared.withMatrix(rows: rank, columns: rows.count) { transposed in
        multiply(h.view.transposed, dy[columns: rows], scale: scaling, into: &transposed, operands: operands)
        addTransposed(transposed.view, to: &part)
      }
    }
    let width = loraA.columnCount
    let tiles = evenRanges(of: width, count: max(1, width / 96), unit: 32).map {
      MatrixTile(rows: 0..<rank, columns: $0)
    }
    var dA = MutableMatrixView(gradients.loraA.mutableSpan, loraA.layout)
    parallelTiles(of: &dA, tiles) { index, part in
      multiply(
        dh.view.transposed, input.view[columns: tiles[index].columns], into: &part, adding: true,
        operands: operands)
    }
  }

  /// Adds the adapter's part of the input's gradient to some columns, `[tokens, columns]`.
  fileprivate func addInputGradient(
    _ dh: MatrixView<Float>, columns: Range<Int>, operands: ProductOperands,
    into dx: inout MutableMatrixView<Float>
  ) {
    guard kind == .pooled else {
      return multiply(dh, loraA.view[columns: columns], into: &dx, adding: true, operands: operands)
    }
    let groups = columns.lowerBound / groupSize..<columns.upperBound / groupSize
    ScratchPool.shared.withMatrix(rows: dh.rowCount, columns: groups.count) { pooled in
      multiply(dh, loraA.view[columns: groups], into: &pooled, operands: operands)
      for token in 0..<dh.rowCount {
        var row = dx.row(token)
        spreadGroups(pooled.view.row(token), groupSize: groupSize, scale: 1 / Float(groupSize), addTo: &row)
      }
    }
  }
}

/// Adds the transpose of a matrix.
private func addTransposed(_ matrix: MatrixView<Float>, to sum: inout MutableMatrixView<Float>) {
  for i in 0..<sum.rowCount {
    var row = sum.row(i)
    for j in row.indices { row[j] += matrix.row(j)[i] }
  }
}

/// Adds the gradients of a packed weight's scales and biases.
///
/// With `dW = dyᵀ · x`, a scale's gradient is the sum of `code · dW` over its group, and a bias's is the sum
/// of `dW`. Without scales, the biases' gradients are a product with the groups' sums, at `1 / groupSize` of
/// the work.
private func addTableGradients(
  of linear: Linear, x: Matrix, dy: MatrixView<Float>, operands: ProductOperands,
  to gradients: inout LinearGradients
) {
  guard let packed = linear.weight.packed else { return }
  guard gradients.weights.isEmpty else {
    return addWeightGradients(x: x, dy: dy, operands: operands, to: &gradients.weights)
  }
  guard !gradients.biases.isEmpty else { return }
  guard gradients.scales.isEmpty else {
    return addScaleAndBiasGradients(
      of: linear.weight, packed, x: x, dy: dy, operands: operands, to: &gradients)
  }
  let sums = pooledSums(x, groupSize: packed.groupSize)
  var biases = MutableMatrixView(
    gradients.biases.mutableSpan, rows: dy.columnCount, columns: sums.columnCount)
  parallelRows(of: &biases, rowsPerChunk: 96) { rows, part in
    multiply(dy[columns: rows].transposed, sums.view, into: &part, adding: true)
  }
}

/// Adds `dW = dyᵀ · x`.
private func addWeightGradients(
  x: Matrix, dy: MatrixView<Float>, operands: ProductOperands, to weights: inout [Float]
) {
  let rowsPerTile = WeightTile.rows(of: dy.columnCount, columns: x.columnCount)[0].count
  var dW = MutableMatrixView(weights.mutableSpan, rows: dy.columnCount, columns: x.columnCount)
  parallelRows(of: &dW, rowsPerChunk: rowsPerTile) { rows, part in
    multiply(dy[columns: rows].transposed, x.view, into: &part, adding: true, operands: operands)
  }
}

private func addScaleAndBiasGradients(
  of weight: Weight, _ packed: PackedWeight, x: Matrix, dy: MatrixView<Float>, operands: ProductOperands,
  to gradients: inout LinearGradients
) {
  let groupCount = weight.columnCount / packed.groupSize
  let tiles = WeightTile.rows(of: weight.rowCount, columns: weight.columnCount)
  // Scales and biases side by side, so that one parallel region writes both.
  var tables = Matrix(rows: weight.rowCount, columns: 2 * groupCount)
  var whole = tables.mutableView
  parallelTiles(of: &whole, tiles.map { MatrixTile(rows: $0, columns: 0..<2 * groupCount) }) {
    index, tables in
    let rows = tiles[index]
    ScratchPool.shared.withScratch(rows.count * weight.columnCount) { elements in
      var dW = MutableMatrixView(&elements, rows: rows.count, columns: weight.columnCount)
      multiply(dy[columns: rows].transposed, x.view, into: &dW, operands: operands)
      var both = tables.contiguousElements()
      packed.codes.withSpan { codes in
        addCodeGradients(
          elements.span,
          codes: codes.extracting(packed.codeRange(rows: rows, columnCount: weight.columnCount)),
          packed, columnCount: weight.columnCount, to: &both)
      }
    }
  }
  // Each tile holds its scales first, then its biases.
  for rows in tiles {
    let count = rows.count * groupCount
    let start = rows.lowerBound * groupCount
    for i in 0..<count {
      gradients.scales[start + i] += tables.values[2 * start + i]
      gradients.biases[start + i] += tables.values[2 * start + count + i]
    }
  }
}

private func addCodeGradients(
  _ dW: Span<Float>, codes: RawSpan, _ packed: PackedWeight, columnCount: Int,
  to tables: inout MutableSpan<Float>
) {
  let half = tables.count / 2
  ScratchPool.shared.withScratch(half) { biases in
    for i in 0..<half { biases[i] = 0 }
    var scales = tables.slice(0..<half)
    reduceByCodes(
      weightGradient: dW, codes: codes, bits: packed.bits, groupSize: packed.groupSize,
      columnCount: columnCount, addTo: &scales, addTo: &biases)
    for i in 0..<half { tables[half + i] = biases[i] }
  }
}
