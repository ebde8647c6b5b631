import Checkpoints
import Kernels

// Zero points: those of a group are chosen together with its codes.

extension RefinedRows {
  /// Whether groups have zero points to choose from.
  var choosesZeroPoints: Bool { (choices?.count ?? 0) > 1 }

  private var choices: ClosedRange<Int>? { ZeroPointFit(refinement.grid.layout)?.choices }

  /// The codes less their zero points, `[columns, rows]`.
  var centeredCodes: [Float] {
    guard let zeroPoints = tables.zeroPoints?.values else { return codes }
    let span = groupSize * rowCount
    var values = codes
    for i in values.indices { values[i] -= zeroPoints[i / span * rowCount + i % rowCount] }
    return values
  }

  /// The codes of a group with other zero points.
  private struct Attempt {
    /// What is added to the zero point and, where they stay codes, to the codes.
    let shift: Float
    /// `[columns, rows]`.
    var codes: [Float]
    /// The changes of the weights, `[columns, rows]`.
    var changes: [Float]
    /// The change of each row's error.
    var errors: [Float]
  }

  /// Chooses the zero points and codes of a group again.
  ///
  /// The current zero point is tried, and those beside it with all codes moved by as much, so that only
  /// codes at an end change the weights. Codes then descend for each of them. The least error wins, and the
  /// current zero point among equal ones.
  ///
  /// - Parameters:
  ///   - group: The group.
  ///   - gradient: `(Wq - W) · S` in the columns of the group, `[columns, rows]`.
  /// - Returns: The changes of the weights, `[columns, rows]`; nil when there are none.
  mutating func chooseZeroPoints(of group: Int, _ gradient: Matrix) -> [Float]? {
    guard let choices, let zeroPoints = tables.zeroPoints?.values else { return nil }
    let attempts = [Float(0), -1, 1].map { attempt($0, group, gradient) }
    var changes = [Float](repeating: 0, count: gradient.values.count)
    var hasChanged = false
    for row in 0..<count {
      let current = zeroPoints[group * rowCount + row]
      var best = attempts[0]
      for other in attempts.dropFirst()
      where choices.contains(Int(current + other.shift)) && other.errors[row] < best.errors[row] {
        best = other
      }
      if best.shift != 0 { tables.set(zeroPoint: current + best.shift, group: group, row: row) }
      let first = group * groupSize * rowCount
      for i in stride(from: row, to: changes.count, by: rowCount) {
        changes[i] = best.changes[i]
        codes[first + i] = best.codes[i]
        hasChanged = hasChanged || changes[i] != 0
      }
    }
    return hasChanged ? changes : nil
  }

  private func attempt(_ shift: Float, _ group: Int, _ gradient: Matrix) -> Attempt {
    let (columns, top) = (columns(of: group), refinement.grid.top)
    let range = group * rowCount..<(group + 1) * rowCount
    let scales = tables.scales.span.extracting(range)
    let moments = refinement.moments
    let own = moments.view[rows: columns][columns: columns]
    let matrixLayout = MatrixLayout(rows: groupSize, columns: rowCount)
    let old = codes[elements(columns)]
    var moved = old.map { min(max($0 + shift, 0), top) }
    var changes = [Float](repeating: 0, count: moved.count)
    var shifted = gradient
    if shift != 0 {
      for (i, code) in old.enumerated() { changes[i] = scales[i % rowCount] * (moved[i] - shift - code) }
      var target = shifted.mutableView
      multiply(own, MatrixView(changes.span, matrixLayout), into: &target, adding: true)
    }
    let biases = range.map {
      ZeroPoints.bias(scale: tables.scales[$0], zeroPoint: (tables.zeroPoints?.values[$0] ?? 0) + shift)
    }
    var descended = changes
    var codeSpan = moved.mutableSpan
    var changeSpan = descended.mutableSpan
    _ = descend(
      codes: &codeSpan, changes: &changeSpan, gradient: shifted.values.span, moments: moments.view,
      columns: columns, scales: scales, biases: biases.span, top: top)
    for i in changes.indices { changes[i] += descended[i] }
    var product = Matrix.unspecified(rows: groupSize, columns: rowCount)
    var target = product.mutableView
    multiply(own, MatrixView(changes.span, matrixLayout), into: &target)
    var errors = [Float](repeating: 0, count: rowCount)
    for i in changes.indices {
      errors[i % rowCount] += changes[i] * (product.values[i] + 2 * gradient.values[i])
    }
    return Attempt(shift: shift, codes: moved, changes: changes, errors: errors)
  }
}
