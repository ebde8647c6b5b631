import Checkpoints
import Kernels

// Lattice grids: the points of a group are chosen again, with its multiple.

extension RefinedRows {
  /// Chooses the multiple and the points of a group again, where this lowers the row's error.
  ///
  /// With S the moments of the group, g the gradient and x the weights, the error is least at `t = x - S⁻¹ · g`
  /// while all other columns stay, and grows by `(y - t) · S · (y - t)ᵀ` for weights y.
  ///
  /// - Parameters:
  ///   - fit: The fit of the grid.
  ///   - group: The group.
  ///   - gradient: `(Wq - W) · S` in the columns of the group, `[columns, rows]`.
  /// - Returns: The changes of the weights, `[columns, rows]`; nil when there are none.
  mutating func choosePoints(_ fit: LatticeFit, of group: Int, _ gradient: Matrix) -> [Float]? {
    let columns = columns(of: group)
    let elements = elements(columns)
    let tableElements = self.elements(group..<group + 1)
    let factors = (0..<rowCount).map { row in
      row < count ? tables.factors(block: group / fit.kind.groupCount, row: row).scale : 0
    }
    let scales = Array(tables.scales[tableElements])
    let old = codes[elements].enumerated().map { ($1 - fit.zeroCode) * scales[$0 % rowCount] }
    let corner = SymmetricCorner(refinement.moments, columns)
    let targets = zip(old, corner.solved(gradient.values, rowCount: rowCount)).map { $0 - $1 }
    let found = fit.group(
      targets: targets.span, weights: targets.span, corner.form, near: scales, factors: factors)
    var changes = zip(found.weights, old).map { $0 - $1 }
    let growth = corner.growth(of: changes, gradient.values, rowCount: rowCount)
    var hasChanged = false
    for row in 0..<rowCount {
      let isBetter = row < count && growth[row] < 0
      hasChanged = hasChanged || isBetter
      if isBetter { tables.set(steps: (found.multiples[row], 0), group: group, row: row) }
      for i in stride(from: row, to: changes.count, by: rowCount) {
        if isBetter {
          codes[elements.lowerBound + i] = found.points.values[i] + fit.zeroCode
        } else {
          changes[i] = 0
        }
      }
    }
    return hasChanged ? changes : nil
  }
}

/// The moments of some columns that follow each other.
private struct SymmetricCorner {
  private let moments: [Double]
  /// The cost `e · S · eᵀ` of errors e, as a sum over the columns in their order.
  let form: LatticeForm
  /// The shares of the form.
  private let shares: [Double]
  /// The diagonal of the form; zero for a column that depends on those after it.
  private let diagonal: [Double]
  private let count: Int

  /// The smallest share of a column's moment that is not taken for rounding.
  private static let leastShare = 1e-6

  init(_ all: MomentMatrix, _ columns: Range<Int>) {
    let count = columns.count
    var rest = columns.flatMap { row in
      let elements = all.view.row(row)
      return columns.map { Double(elements[$0]) }
    }
    moments = rest
    var shares = [Double](repeating: 0, count: count * count)
    var diagonal = [Double](repeating: 0, count: count)
    // The last column's square is completed first.
    for j in (0..<count).reversed() {
      let pivot = rest[j * count + j]
      guard pivot > Self.leastShare * moments[j * count + j] else { continue }
      diagonal[j] = pivot
      for k in 0..<j { shares[j * count + k] = rest[j * count + k] / pivot }
      for i in 0..<j {
        for k in 0..<j { rest[i * count + k] -= pivot * shares[j * count + i] * shares[j * count + k] }
      }
    }
    (self.count, self.shares, self.diagonal) = (count, shares, diagonal)
    form = LatticeForm(shares: shares.map { Float($0) }, diagonal: diagonal.map { Float($0) })
  }

  /// Solves `S · x = y` for each row; `[columns, rows]`.
  func solved(_ y: [Float], rowCount: Int) -> [Float] {
    // S = Mᵀ · D · M with M the unit matrix plus the shares: first Mᵀ, from the last column on, then D, then M.
    var x = y.map { Double($0) }
    for j in (0..<count).reversed() {
      for k in 0..<j {
        let share = shares[j * count + k]
        for row in 0..<rowCount { x[k * rowCount + row] -= share * x[j * rowCount + row] }
      }
    }
    for j in 0..<count {
      for row in 0..<rowCount {
        var value = diagonal[j] > 0 ? x[j * rowCount + row] / diagonal[j] : 0
        for k in 0..<j { value -= shares[j * count + k] * x[k * rowCount + row] }
        x[j * rowCount + row] = value
      }
    }
    return x.map { Float($0) }
  }

  /// The growth of each row's error by changes of the weights: `c · S · cᵀ + 2 · c · gᵀ`.
  func growth(of changes: [Float], _ gradient: [Float], rowCount: Int) -> [Double] {
    var growth = [Double](repeating: 0, count: rowCount)
    for j in 0..<count {
      for row in 0..<rowCount {
        var slope = 2 * Double(gradient[j * rowCount + row])
        for k in 0..<count { slope += moments[j * count + k] * Double(changes[k * rowCount + row]) }
        growth[row] += slope * Double(changes[j * rowCount + row])
      }
    }
    return growth
  }
}
