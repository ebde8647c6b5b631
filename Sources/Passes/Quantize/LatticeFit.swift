import Checkpoints
import Kernels

/// Chooses the factors, multiples and points of a lattice grid for rows stored by columns, `[columns, rows]`.
///
/// The scale of a group is searched among shares of the one that reaches its largest weight. The factor of a
/// block is the one whose multiples come nearest to these scales. The multiple of a group is the best of the
/// nearest ones by the cost of the points that it leads to.
struct LatticeFit {
  let kind: SuperBlock
  let tree: LatticeTree

  /// Describes a grid; nil when its codes are free.
  init?(_ layout: QuantizedLayout) {
    guard let kind = layout.superBlock, let lattice = kind.lattice else { return nil }
    self.kind = kind
    tree = lattice.tree
  }

  /// The code of a signed magnitude of 0.
  var zeroCode: Float { Float(LatticeTable.zeroCode) }
  private var largestMagnitude: Float { tree.magnitudes[2] }

  /// The shares of the scale that just reaches a group's largest weight, which the search tries.
  private static let clippingFactors: [Float] = (0..<12).map { 0.55 + 0.06 * Float($0) }
  /// The multiples that are tried for a group, as distances from the nearest one.
  private static let distances = [0, -1, 1]

  /// The scales of a group that the search found, and how much a difference from them costs.
  private struct GroupScales {
    /// `[rows]`.
    var scales: [Float]
    /// `[rows]`: the sum of the importance times the squared magnitude.
    var curvatures: [Float]
  }

  /// The factors and the scales of a block.
  struct Block {
    /// d of each row, as it is stored.
    var factors: [Float]
    /// `[groups, rows]`: the scales that the search found.
    var scales: [[Float]]
  }

  /// Chooses the factors of a block.
  ///
  /// - Parameters:
  ///   - weights: `[256, rows]`.
  ///   - importance: `[256]`: the weight of each squared error.
  ///   - rowCount: The rows, a multiple of 16.
  /// - Returns: The factors, and the scales that led to them.
  func block(_ weights: Span<Float>, importance: Span<Float>, rowCount: Int) -> Block {
    let size = kind.groupSize
    let groups = (0..<kind.groupCount).map { group in
      let columns = group * size..<(group + 1) * size
      return searched(
        weights.extracting(columns.lowerBound * rowCount..<columns.upperBound * rowCount),
        LatticeForm(diagonal: columns.map { importance[$0] }), rowCount: rowCount)
    }
    let factors = (0..<rowCount).map { row in
      factor(groups.map { $0.scales[row] }, curvatures: groups.map { $0.curvatures[row] })
    }
    return Block(factors: factors, scales: groups.map(\.scales))
  }

  private func searched(_ weights: Span<Float>, _ form: LatticeForm, rowCount: Int) -> GroupScales {
    var largest = [Float](repeating: 0, count: rowCount)
    for i in weights.indices { largest[i % rowCount] = max(largest[i % rowCount], abs(weights[i])) }
    var found = GroupScales(
      scales: [Float](repeating: 0, count: rowCount), curvatures: [Float](repeating: 0, count: rowCount))
    var least = [Float](repeating: .infinity, count: rowCount)
    for factor in Self.clippingFactors {
      let scales = largest.map { $0 * factor / largestMagnitude }
      let points = points(targets: weights, weights: weights, form, scales: scales)
      for row in 0..<rowCount where points.costs[row] < least[row] {
        least[row] = points.costs[row]
        found.scales[row] = scales[row]
        found.curvatures[row] = form.diagonal.indices.reduce(0) { sum, column in
          let value = points.values[column * rowCount + row]
          return sum + form.diagonal[column] * value * value
        }
      }
    }
    return found
  }

  /// Chooses the factor whose multiples come nearest to scales.
  private func factor(_ scales: [Float], curvatures: [Float]) -> Float {
    guard let largest = scales.max(), largest > 0, largest.isFinite else { return 0 }
    let highest = kind.scaleSteps.upperBound
    var (least, result): (Float, Float) = (.infinity, largest / kind.multiple(ofStep: highest))
    // Factors that give the largest scale each of the upper multiples.
    for step in kind.scaleSteps where step >= highest / 2 {
      let first = largest / kind.multiple(ofStep: step)
      let multiples = scales.map { nearest($0, first) }
      var (products, squares): (Float, Float) = (0, 0)
      for (i, multiple) in multiples.enumerated() {
        products += curvatures[i] * scales[i] * multiple
        squares += curvatures[i] * multiple * multiple
      }
      let factor = BlockFit.stored(squares > 0 ? products / squares : first)
      let error = scales.indices.reduce(Float(0)) { sum, i in
        let difference = scales[i] - factor * nearest(scales[i], factor)
        return sum + curvatures[i] * difference * difference
      }
      if error < least { (least, result) = (error, factor) }
    }
    return BlockFit.stored(result)
  }

  private func nearestStep(_ scale: Float, _ factor: Float) -> Int {
    guard factor != 0 else { return 0 }
    let position = (scale / factor - kind.multiple(ofStep: 0)) * 4
    let (lowest, highest) = (Float(kind.scaleSteps.lowerBound), Float(kind.scaleSteps.upperBound))
    // NaN becomes the lowest.
    return Int(position > lowest ? min(position.rounded(), highest) : lowest)
  }

  private func nearest(_ scale: Float, _ factor: Float) -> Float {
    kind.multiple(ofStep: nearestStep(scale, factor))
  }
}

extension LatticeFit {
  /// The points of a group.
  struct Points {
    /// `[columns, rows]`: magnitudes with signs.
    var values: [Float]
    /// `[rows]`.
    var costs: [Float]
  }

  /// The points of a group and its multiples.
  struct Group {
    var points: Points
    /// `[rows]`.
    var multiples: [Float]
    /// `[rows]`: the factors times the multiples.
    var scales: [Float]

    /// The values times the scales.
    var weights: [Float] {
      var weights = points.values
      for i in weights.indices { weights[i] *= scales[i % scales.count] }
      return weights
    }
  }

  /// Finds the points of a group's columns, 8 after 8.
  ///
  /// - Parameters:
  ///   - targets: `[columns, rows]`: the weights less the shares of all columns before the group.
  ///   - weights: Same shape.
  ///   - form: The cost of errors.
  ///   - scales: `[rows]`.
  /// - Returns: The points, and what they cost.
  private func points(
    targets: Span<Float>, weights: Span<Float>, _ form: LatticeForm, scales: [Float]
  ) -> Points {
    let (rowCount, width) = (scales.count, LatticeTree.width)
    var found = Points(
      values: [Float](repeating: 0, count: targets.count), costs: [Float](repeating: 0, count: rowCount))
    var part = [Float](repeating: 0, count: width * rowCount)
    var costs = found.costs
    var moved = [Float](repeating: 0, count: width * rowCount)
    for first in stride(from: 0, to: form.count, by: width) {
      let elements = first * rowCount..<(first + width) * rowCount
      for i in moved.indices { moved[i] = targets[elements.lowerBound + i] }
      subtractErrors(before: first, found.values, weights, form, scales, from: &moved)
      var partSpan = part.mutableSpan
      var costSpan = costs.mutableSpan
      findPoints(
        tree, form, first: first, targets: moved.span, weights: weights.extracting(elements),
        scales: scales.span, points: &partSpan, costs: &costSpan)
      for i in part.indices { found.values[elements.lowerBound + i] = part[i] }
      for row in costs.indices { found.costs[row] += costs[row] }
    }
    return found
  }

  /// Subtracts the shares of the errors of a group's columns before some 8 from the targets of these.
  private func subtractErrors(
    before first: Int, _ values: [Float], _ weights: Span<Float>, _ form: LatticeForm, _ scales: [Float],
    from targets: inout [Float]
  ) {
    let rowCount = scales.count
    for k in 0..<first {
      var errors = [Float](repeating: 0, count: rowCount)
      for row in 0..<rowCount {
        errors[row] = scales[row] * values[k * rowCount + row] - weights[k * rowCount + row]
      }
      for j in 0..<LatticeTree.width {
        let share = form.shares[(first + j) * form.count + k]
        guard share != 0 else { continue }
        for row in 0..<rowCount { targets[j * rowCount + row] -= share * errors[row] }
      }
    }
  }

  /// Chooses the multiple and the points of a group.
  ///
  /// - Parameters:
  ///   - targets: `[columns, rows]`: the weights less the shares of all columns before the group.
  ///   - weights: Same shape.
  ///   - form: The cost of errors.
  ///   - scales: `[rows]`: good scales; multiples around them are tried.
  ///   - factors: `[rows]`: d of the block.
  /// - Returns: The group with the least cost in each row.
  func group(
    targets: Span<Float>, weights: Span<Float>, _ form: LatticeForm, near scales: [Float], factors: [Float]
  ) -> Group {
    let rowCount = factors.count
    let nearest = scales.indices.map { nearestStep(scales[$0], factors[$0]) }
    var best: Group?
    for distance in Self.distances {
      let multiples = nearest.map {
        kind.multiple(ofStep: min(max($0 + distance, kind.scaleSteps.lowerBound), kind.scaleSteps.upperBound))
      }
      let scales = multiples.indices.map { factors[$0] * multiples[$0] }
      let found = Group(
        points: points(targets: targets, weights: weights, form, scales: scales), multiples: multiples,
        scales: scales)
      guard var least = best else {
        best = found
        continue
      }
      best = nil
      for row in 0..<rowCount where found.points.costs[row] < least.points.costs[row] {
        least.points.costs[row] = found.points.costs[row]
        (least.multiples[row], least.scales[row]) = (multiples[row], scales[row])
        for i in stride(from: row, to: targets.count, by: rowCount) {
          least.points.values[i] = found.points.values[i]
        }
      }
      best = least
    }
    guard let best else { preconditionFailure("no multiple was tried") }
    return best
  }
}

extension QuantizationGrid {
  /// Finds tables and points by the importance of the inputs alone.
  ///
  /// - Parameters:
  ///   - fit: The fit of this grid, which is a lattice.
  ///   - weights: `[rows, columns]`, finite.
  ///   - importance: `[columns]`.
  /// - Returns: Codes and tables.
  func latticeSearched(_ fit: LatticeFit, _ weights: [Float], importance: [Float]) -> PackedTensor {
    let columnCount = importance.count
    let count = weights.count / columnCount
    let rowCount = RowVectors.rowCount(holding: count)
    let columns = weights.byColumns(rows: count, in: rowCount)
    var tables = RowTables(grid: self, columns: columnCount, count: count, rowCount: rowCount)
    var codes = [Float](repeating: 0, count: columns.count)
    let (span, weight) = (columns.span, importance.span)
    let (size, groupCount) = (groupSize, fit.kind.groupCount)
    for start in stride(from: 0, to: columnCount, by: SuperBlock.columnCount) {
      let end = start + SuperBlock.columnCount
      let block = fit.block(
        span.extracting(start * rowCount..<end * rowCount), importance: weight.extracting(start..<end),
        rowCount: rowCount)
      tables.set(factors: block.factors, block: start / SuperBlock.columnCount)
      for group in 0..<groupCount {
        let first = start + group * size
        let part = span.extracting(first * rowCount..<(first + size) * rowCount)
        let found = fit.group(
          targets: part, weights: part, LatticeForm(diagonal: Array(importance[first..<first + size])),
          near: block.scales[group], factors: block.factors)
        tables.set(multiples: found.multiples, group: first / size)
        for (i, value) in found.points.values.enumerated() {
          codes[first * rowCount + i] = value + fit.zeroCode
        }
      }
    }
    return PackedTensor(
      codes: packed(codes.byRows(count, of: rowCount).map { UInt8($0) }), tables.byRows)
  }
}

extension RowTables {
  /// Replaces the factors of a block in all rows.
  mutating func set(factors: [Float], block: Int) {
    for row in 0..<count { set(BlockFit.Factors(scale: factors[row], bias: 0), block: block, row: row) }
  }

  /// Replaces the multiples of a group in all rows.
  mutating func set(multiples: [Float], group: Int) {
    for row in 0..<count { set(steps: (multiples[row], 0), group: group, row: row) }
  }
}
