import Checkpoints
package import Kernels

/// Which parts of the linears are trained.
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

/// The gradients of what is trained in one linear; empty for what is not.
package struct LinearGradients: Sendable {
  /// `[rank, A's columns]`.
  package var loraA: [Float] = []
  /// `[out, rank]`.
  package var loraB: [Float] = []
  /// `[out, in / groupSize]`.
  package var scales: [Float] = []
  /// `[out, in / groupSize]`.
  package var biases: [Float] = []
  /// Of the weight itself, `[out, in]`, when codes are trained; those of scales and biases follow from it.
  package var weights: [Float] = []

  /// Zeros for the trained parts that the linear has.
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
  /// Adds the gradient of the input, and the gradients of what is trained.
  ///
  /// - Parameters:
  ///   - x: The input, `[tokens, in]`.
  ///   - dy: The gradient of the outputs, `[tokens, out]`.
  ///   - gradients: One for each linear; added to.
  ///   - dx: `[tokens, in]`; overwritten.
  package func backward(x: Matrix, dy: Matrix, gradients: inout [LinearGradients], into dx: inout Matrix) {
    var reducedGradients: [Matrix?] = []
    for index in linears.indices {
      let delta = dy.layout[0..<dy.rowCount, columns(of: index)]
      reducedGradients.append(
        linears[index].adapter.map { adapter in
          let dh = adapter.reducedGradient(dy, delta)
          if !gradients[index].loraB.isEmpty {
            adapter.addGradients(x: x, dy: dy, delta, dh: dh, to: &gradients[index])
          }
          return dh
        })
      addTableGradients(
        of: linears[index], x: x, dy: dy, delta, operands: operands, to: &gradients[index])
    }
    inputGradient(dy, reducedGradients, into: &dx)
  }

  private func inputGradient(_ dy: Matrix, _ reducedGradients: [Matrix?], into dx: inout Matrix) {
    let layout = dx.layout
    let tiles = inputTiles(tokenCount: dx.rowCount)
    let rounded = RoundedMatrix(dy, for: operands)
    var values = dx.values.mutableSpan
    parallelTiles(of: &values, count: tiles.count) { index, dx in
      let (tokens, columns) = (tiles[index].tokens, tiles[index].columns)
      let target = layout[tokens, columns]
      for (index, linear) in linears.enumerated() {
        let delta = dy.layout[tokens, self.columns(of: index)]
        multiply(
          rounded, delta, byColumns: columns, of: linear.weight, keep: index == 0 ? 0 : 1, into: &dx, target)
        if let adapter = linear.adapter, let dh = reducedGradients[index] {
          adapter.addInputGradient(dh, tokens: tokens, columns: columns, into: &dx, target)
        }
      }
    }
  }

  /// Tokens and columns of the input whose gradient is computed together.
  private struct InputTile {
    let tokens: Range<Int>
    let columns: Range<Int>
  }

  /// The input cut into columns at the groups' edges; of an odd number of tiles the last one is cut into halves.
  private func inputTiles(tokenCount: Int) -> [InputTile] {
    let granularity = linears.reduce(8) { unit, linear in
      leastCommonMultiple(
        leastCommonMultiple(unit, linear.weight.columnGranularity), linear.adapter?.groupSize ?? 1)
    }
    var tiles = WeightTile.columns(of: inputCount, granularity: granularity).map {
      InputTile(tokens: 0..<tokenCount, columns: $0)
    }
    if tiles.count % 2 == 1, tokenCount >= 16, let last = tiles.popLast() {
      let half = tokenCount / 2
      tiles.append(InputTile(tokens: 0..<half, columns: last.columns))
      tiles.append(InputTile(tokens: half..<tokenCount, columns: last.columns))
    }
    return tiles
  }
}

extension LowRankAdapter {
  /// The gradient of `A · input`: `scaling · dy · B`, `[tokens, rank]`.
  fileprivate func reducedGradient(_ dy: Matrix, _ delta: MatrixLayout) -> Matrix {
    var dh = Matrix.unspecified(rows: delta.rowCount, columns: rank)
    var values = dh.values.mutableSpan
    parallelRows(of: &values, columnCount: rank, rowsPerChunk: 64) { rows, part in
      multiply(
        .plain, dy.values.span, delta[rows, 0..<delta.columnCount], loraB.values.span, loraB.layout,
        scale: scaling, into: &part, MatrixLayout(rows: rows.count, columns: rank))
    }
    return dh
  }

  /// Adds `dB = scaling · dyᵀ · h` and `dA = dhᵀ · input`.
  fileprivate func addGradients(
    x: Matrix, dy: Matrix, _ delta: MatrixLayout, dh: Matrix, to gradients: inout LinearGradients
  ) {
    let input = adapterInput(x)
    let h = reduce(input)
    var dB = gradients.loraB.mutableSpan
    parallelRows(of: &dB, columnCount: rank, rowsPerChunk: 96) { rows, part in
      multiply(
        .transposedLeft, dy.values.span, delta[0..<delta.rowCount, rows], h.values.span, h.layout,
        scale: scaling, keep: 1, into: &part, MatrixLayout(rows: rows.count, columns: rank))
    }
    let layout = loraA.layout
    let ranges = evenRanges(of: layout.columnCount, count: max(1, layout.columnCount / 96))
    var dA = gradients.loraA.mutableSpan
    parallelTiles(of: &dA, count: ranges.count) { index, dA in
      multiply(
        .transposedLeft, dh.values.span, dh.layout, input.values.span,
        input.layout[0..<input.rowCount, ranges[index]], keep: 1, into: &dA,
        layout[0..<layout.rowCount, ranges[index]])
    }
  }

  /// Adds the adapter's part of the input's gradient for some columns.
  fileprivate func addInputGradient(
    _ dh: Matrix, tokens: Range<Int>, columns: Range<Int>, into dx: inout MutableSpan<Float>,
    _ target: MatrixLayout
  ) {
    let rows = dh.layout[tokens, 0..<rank]
    guard kind == .pooled else {
      multiply(
        .plain, dh.values.span, rows, loraA.values.span, loraA.layout[0..<rank, columns], keep: 1,
        into: &dx, target)
      return
    }
    let groups = columns.lowerBound / groupSize..<columns.upperBound / groupSize
    ScratchPool.shared.withScratch(tokens.count * groups.count) { pooled in
      let layout = MatrixLayout(rows: tokens.count, columns: groups.count)
      multiply(
        .plain, dh.values.span, rows, loraA.values.span, loraA.layout[0..<rank, groups], into: &pooled,
        layout)
      for token in 0..<tokens.count {
        let start = target.offset + token * target.stride
        var row = dx._mutatingExtracting(start..<start + columns.count)
        spreadGroups(
          pooled.span.extracting(token * groups.count..<(token + 1) * groups.count), groupSize: groupSize,
          scale: 1 / Float(groupSize), addTo: &row)
      }
    }
  }
}

/// Adds the gradients of a packed weight's scales and biases.
///
/// With `dW = dyᵀ · x`: a scale's gradient is the sum of `code · dW` over its group, a bias's the sum of `dW`;
/// without scales the latter is the product with the groups' sums, a `groupSize`-th of the work.
private func addTableGradients(
  of linear: Linear, x: Matrix, dy: Matrix, _ delta: MatrixLayout, operands: ProductOperands,
  to gradients: inout LinearGradients
) {
  guard let packed = linear.weight.packed else { return }
  guard gradients.weights.isEmpty else {
    return addWeightGradients(x: x, dy: dy, delta, operands: operands, to: &gradients.weights)
  }
  guard !gradients.biases.isEmpty else { return }
  let groupCount = linear.weight.columnCount / packed.groupSize
  if gradients.scales.isEmpty {
    let sums = pooledSums(x, groupSize: packed.groupSize)
    var biases = gradients.biases.mutableSpan
    parallelRows(of: &biases, columnCount: groupCount, rowsPerChunk: 96) { rows, part in
      multiply(
        .transposedLeft, dy.values.span, delta[0..<delta.rowCount, rows], sums.values.span, sums.layout,
        keep: 1, into: &part, MatrixLayout(rows: rows.count, columns: groupCount))
    }
    return
  }
  addScaleAndBiasGradients(
    of: linear.weight, packed, x: x, dy: dy, delta, operands: operands, to: &gradients)
}

/// Adds `dW = dyᵀ · x`.
private func addWeightGradients(
  x: Matrix, dy: Matrix, _ delta: MatrixLayout, operands: ProductOperands, to weights: inout [Float]
) {
  let rowsPerTile = WeightTile.rows(of: delta.columnCount, columns: x.columnCount)[0].count
  var values = weights.mutableSpan
  parallelRows(of: &values, columnCount: x.columnCount, rowsPerChunk: rowsPerTile) { rows, part in
    multiply(
      .transposedLeft, dy.values.span, delta[0..<delta.rowCount, rows], x.values.span, x.layout, keep: 1,
      into: &part, MatrixLayout(rows: rows.count, columns: x.columnCount), operands: operands)
  }
}

private func addScaleAndBiasGradients(
  of weight: Weight, _ packed: PackedWeight, x: Matrix, dy: Matrix, _ delta: MatrixLayout,
  operands: ProductOperands, to gradients: inout LinearGradients
) {
  let groupCount = weight.columnCount / packed.groupSize
  let tiles = WeightTile.rows(of: weight.rowCount, columns: weight.columnCount)
  // Scales and biases side by side, so that one parallel region writes both.
  var tables = [Float](repeating: 0, count: 2 * weight.rowCount * groupCount)
  var values = tables.mutableSpan
  parallelTiles(of: &values, count: tiles.count) { index, tables in
    let rows = tiles[index]
    let layout = MatrixLayout(rows: rows.count, columns: weight.columnCount)
    ScratchPool.shared.withScratch(rows.count * weight.columnCount) { dW in
      multiply(
        .transposedLeft, dy.values.span, delta[0..<delta.rowCount, rows], x.values.span, x.layout, into: &dW,
        layout, operands: operands)
      let part = rows.lowerBound * groupCount * 2..<rows.upperBound * groupCount * 2
      var both = tables._mutatingExtracting(part)
      packed.codes.withSpan { codes in
        addCodeGradients(
          dW.span, codes: codes.extracting(packed.codeRange(rows: rows, columnCount: weight.columnCount)),
          packed, columnCount: weight.columnCount, to: &both)
      }
    }
  }
  // Each tile holds its scales first, then its biases.
  for rows in tiles {
    let count = rows.count * groupCount
    let start = rows.lowerBound * groupCount
    for i in 0..<count {
      gradients.scales[start + i] += tables[2 * start + i]
      gradients.biases[start + i] += tables[2 * start + count + i]
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
    var scales = tables._mutatingExtracting(0..<half)
    reduceByCodes(
      weightGradient: dW, codes: codes, bits: packed.bits, groupSize: packed.groupSize,
      columnCount: columnCount, addTo: &scales, addTo: &biases)
    for i in 0..<half { tables[half + i] = biases[i] }
  }
}

private func leastCommonMultiple(_ a: Int, _ b: Int) -> Int {
  var (divisor, rest) = (a, b)
  while rest != 0 { (divisor, rest) = (rest, divisor % rest) }
  return a / divisor * b
}
