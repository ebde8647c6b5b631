import CKernels

/// The points of a lattice as a tree, which a search walks.
///
/// A point is the magnitudes of 8 values, each one of three; the values also have signs. Points that begin
/// with the same magnitudes share the nodes of these.
package struct LatticeTree: Sendable {
  /// The number of values of a point.
  package static let width = 8
  /// The magnitudes that a value may have.
  package let magnitudes: [Float]
  /// Whether an even number of values of a point is negative; otherwise signs are free.
  package let isEven: Bool
  /// The points in the order of the search: the index of each magnitude in two bits, the first value lowest.
  package let points: [UInt16]
  private let nodes: [ck_lattice_node]

  /// Builds the tree.
  ///
  /// - Parameters:
  ///   - points: Distinct points, each the indices of 8 magnitudes in two bits, the first value lowest.
  ///   - magnitudes: Three magnitudes.
  ///   - isEven: Whether an even number of values of a point is negative.
  package init(points: [UInt16], magnitudes: [Float], isEven: Bool) {
    precondition(magnitudes.count == 3, "\(magnitudes.count) magnitudes")
    self.magnitudes = magnitudes
    self.isEven = isEven
    // In the order of the first value, then the second, and so on.
    let sorted = points.sorted { Self.key($0) < Self.key($1) }
    self.points = sorted
    var nodes: [ck_lattice_node] = []
    Self.add(sorted[...], level: 0, to: &nodes)
    self.nodes = nodes
  }

  /// The index of the magnitude of a value.
  package static func index(in point: UInt16, of value: Int) -> Int { Int(point >> UInt16(2 * value) & 3) }

  private static func key(_ point: UInt16) -> Int {
    (0..<width).reduce(0) { $0 * 4 + index(in: point, of: $1) }
  }

  private static func add(_ points: ArraySlice<UInt16>, level: Int, to nodes: inout [ck_lattice_node]) {
    for value in 0..<3 {
      let part = points.filter { index(in: $0, of: level) == value }[...]
      guard let first = part.first else { continue }
      let node = nodes.count
      let point = level == width - 1 ? first : 0
      nodes.append(ck_lattice_node(level: UInt8(level), value: UInt8(value), point: point, next: 0))
      if level < width - 1 { add(part, level: level + 1, to: &nodes) }
      nodes[node].next = UInt32(nodes.count)
    }
  }

  fileprivate func withLattice(rowCount: Int, _ body: (ck_lattice) -> Void) {
    // Three numbers and the address of the nodes, which live as long as the call.
    unsafe nodes.withUnsafeBufferPointer { nodes in
      guard let first = nodes.baseAddress else { return }
      unsafe body(
        ck_lattice(
          nodes: first, node_count: nodes.count, magnitudes: (magnitudes[0], magnitudes[1], magnitudes[2]),
          is_even: isEven ? 1 : 0, row_count: rowCount))
    }
  }
}

/// The cost of errors in some columns: the sum over columns `j` of `diagonal[j] · r[j]²`, where `r[j]` is the
/// error of column `j` plus `shares[j, k]` times the error of every column `k` before it.
package struct LatticeForm: Sendable {
  /// The number of columns.
  package let count: Int
  /// `[columns, columns]`; only elements below the diagonal are read.
  package var shares: [Float]
  /// `[columns]`, not negative.
  package var diagonal: [Float]

  /// A cost without shares.
  package init(diagonal: [Float]) {
    self.init(shares: [Float](repeating: 0, count: diagonal.count * diagonal.count), diagonal: diagonal)
  }

  /// Joins the parts.
  package init(shares: [Float], diagonal: [Float]) {
    precondition(shares.count == diagonal.count * diagonal.count, "\(shares.count) shares")
    count = diagonal.count
    self.shares = shares
    self.diagonal = diagonal
  }
}

/// Finds the point of a lattice with the least cost for 8 columns of every row.
///
/// The columns are reached one after the other. A column's target, less the shares of the errors of the
/// columns before it in these 8, has the sign of the value; of all points the one with the least cost is
/// taken. If an even number of values has to be negative and an odd one is, the sign whose change costs least
/// changes. The error of a column is its value times the scale, minus its weight.
///
/// - Parameters:
///   - tree: The points.
///   - form: The cost of errors.
///   - first: The first of the 8 columns in the form.
///   - targets: `[8, rowCount]`: the weights less the shares of all columns before the 8; the rows a multiple
///     of 16.
///   - weights: Same shape.
///   - scales: `[rowCount]`.
///   - points: Same shape as the targets; gets the magnitudes with signs.
///   - costs: `[rowCount]`; gets the cost of the 8 columns.
///   - set: The instructions to use.
package func findPoints(
  _ tree: LatticeTree, _ form: LatticeForm, first: Int, targets: Span<Float>, weights: Span<Float>,
  scales: Span<Float>, points: inout MutableSpan<Float>, costs: inout MutableSpan<Float>,
  on set: InstructionSet = .best
) {
  let (rowCount, width) = (scales.count, LatticeTree.width)
  precondition(rowCount % RowVectors.width == 0 && costs.count == rowCount, "\(rowCount) rows")
  precondition(
    [targets.count, weights.count, points.count].allSatisfy { $0 == width * rowCount },
    "\(targets.count) targets, \(weights.count) weights and \(points.count) points for \(rowCount) rows")
  precondition(0 <= first && first + width <= form.count, "columns from \(first) of \(form.count)")
  let (shares, diagonal) = (form.shares.span, form.diagonal.span)
  unsafe tree.withLattice(rowCount: rowCount) { lattice in
    unsafe reading(
      shares.extracting((first * form.count + first)...), diagonal.extracting(first..<first + width)
    ) { shares, diagonal in
      guard let shares = unsafe shares, let diagonal = unsafe diagonal else { return }
      let form = unsafe ck_lattice_form(shares: shares, share_stride: form.count, diagonal: diagonal)
      unsafe writing(&points, &costs) { points, costs in
        unsafe reading(targets, weights, scales) { targets, weights, scales in
          unsafe ck_find_points(set.rawValue, lattice, form, targets, weights, scales, points, costs)
        }
      }
    }
  }
}

/// `findPoints` as a plain loop over all points, which defines it.
package func findPointsReference(
  _ tree: LatticeTree, _ form: LatticeForm, first: Int, targets: Span<Float>, weights: Span<Float>,
  scales: Span<Float>, points: inout MutableSpan<Float>, costs: inout MutableSpan<Float>
) {
  let (rowCount, width) = (scales.count, LatticeTree.width)
  for row in 0..<rowCount {
    let columns = LatticeColumns(
      form: form, first: first, targets: (0..<width).map { targets[$0 * rowCount + row] },
      weights: (0..<width).map { weights[$0 * rowCount + row] }, scale: scales[row])
    costs[row] = .infinity
    for point in tree.points {
      let magnitudes = (0..<width).map { tree.magnitudes[LatticeTree.index(in: point, of: $0)] }
      let found = columns.signed(magnitudes, isEven: tree.isEven)
      guard found.cost < costs[row], found.total < costs[row] else { continue }
      costs[row] = found.total
      for j in 0..<width { points[j * rowCount + row] = found.values[j] }
    }
  }
}

/// The 8 columns of one row.
private struct LatticeColumns {
  let form: LatticeForm
  let first: Int
  let targets: [Float]
  let weights: [Float]
  let scale: Float

  private func share(_ j: Int, _ k: Int) -> Float { form.shares[(first + j) * form.count + first + k] }

  /// The values with these magnitudes, their cost before a sign changes for the parity, and after it.
  func signed(_ magnitudes: [Float], isEven: Bool) -> (values: [Float], cost: Float, total: Float) {
    var (rest, values, errors) = (targets, magnitudes, magnitudes)
    var (cost, isOdd): (Float, Bool) = (0, false)
    for j in values.indices {
      if rest[j] < 0 { (values[j], isOdd) = (-magnitudes[j], !isOdd) }
      let value = scale * values[j]
      errors[j] = value - rest[j]
      let square = errors[j] * errors[j] * form.diagonal[first + j]
      cost += square
      let difference = value - weights[j]
      for k in j + 1..<max(values.count, j + 1) {
        let product = difference * share(k, j)
        rest[k] -= product
      }
    }
    guard isEven, isOdd else { return (values, cost, cost) }
    var (least, changed) = (Float.infinity, 0)
    for j in values.indices {
      let change = signCost(j, scale * values[j], errors)
      if change < least { (least, changed) = (change, j) }
    }
    values[changed] = -values[changed]
    return (values, cost, cost + least)
  }

  private func signCost(_ column: Int, _ value: Float, _ errors: [Float]) -> Float {
    let change = value * -2
    var cost = change * (errors[column] + errors[column] + change) * form.diagonal[first + column]
    for j in column + 1..<max(errors.count, column + 1) {
      let moved = change * share(j, column)
      let product = moved * (errors[j] + errors[j] + moved) * form.diagonal[first + j]
      cost += product
    }
    return cost
  }
}
