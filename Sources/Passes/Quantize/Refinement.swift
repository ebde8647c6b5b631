import Kernels

/// Lowers the error of a quantizer's result, using the inputs' second moments S.
///
/// The layer error `trace((Wq - W) · S · (Wq - W)ᵀ)` is quadratic in the scales and biases of a row while its
/// codes are fixed, so these have a closed-form optimum (the refit). It is also quadratic in each weight
/// while all others are fixed, so codes improve one after the other (a sweep, columns in order). A refit
/// precedes every sweep and follows the last one. The error of a row never rises: a refit that would raise
/// it, for example by rounding to the tables' format, is not applied.
///
/// Source: for the refit, the normal equations; for sweeps, QuantEase, arXiv:2309.01885; for their
/// alternation, LNQ of GuidedQuant, arXiv:2505.07004.
package struct Refinement: Sendable {
  /// The steps of a refinement.
  package struct Steps: Sendable, Equatable {
    /// Whether scales and biases are fitted.
    package var refits: Bool
    /// The maximum number of sweeps over all codes; sweeps stop when no code changes.
    package var sweeps: Int

    package init(refits: Bool, sweeps: Int) {
      self.refits = refits
      self.sweeps = sweeps
    }

    /// Whether there are no steps.
    var areNone: Bool { !refits && sweeps == 0 }
  }

  let grid: QuantizationGrid
  let steps: Steps
  /// S.
  let moments: MomentMatrix
  /// The sums of S over the rows of each group, `[groups, order]`.
  let momentSums: [Float]
  /// The sums of S over each pair of groups, `[groups, groups]`.
  let pooledMoments: [Double]

  /// The number of columns.
  var order: Int { moments.order }
  var groupCount: Int { order / grid.groupSize }

  /// Prepares the refinement of linears that read one input.
  ///
  /// - Parameters:
  ///   - grid: The grid of codes and tables; its group size divides the order of the moments.
  ///   - moments: S.
  ///   - steps: The steps to apply.
  package init(grid: QuantizationGrid, moments: MomentMatrix, steps: Steps) {
    self.grid = grid
    self.steps = steps
    self.moments = moments
    let groupCount = steps.refits ? moments.order / grid.groupSize : 0
    let sums = parallelMap(groupCount) {
      moments.sums(ofRows: $0 * grid.groupSize..<($0 + 1) * grid.groupSize)
    }
    momentSums = sums.flatMap { $0.map { Float($0) } }
    pooledMoments = sums.flatMap { row in
      (0..<groupCount).map { group in
        row[group * grid.groupSize..<(group + 1) * grid.groupSize].reduce(0, +)
      }
    }
  }

  /// Refines some rows.
  ///
  /// - Parameters:
  ///   - packed: The codes and tables of the rows.
  ///   - weights: The original weights, `[rows, order]`, finite.
  package func refine(_ packed: inout PackedTensor, of weights: [Float]) {
    var rows = RefinedRows(self, packed, weights)
    for _ in 0..<steps.sweeps {
      if steps.refits { rows.refit() }
      guard rows.sweep() else { break }
    }
    if steps.refits { rows.refit() }
    rows.store(into: &packed)
  }
}

/// A quantizer followed by a refinement.
package struct RefinedQuantizer: RowQuantizer {
  private let base: any RowQuantizer
  private let refinement: Refinement

  package var grid: QuantizationGrid { base.grid }

  /// - Parameters:
  ///   - base: Finds the initial codes and tables.
  ///   - refinement: A refinement for the same grid.
  package init(_ base: any RowQuantizer, _ refinement: Refinement) {
    precondition(base.grid == refinement.grid, "two grids")
    self.base = base
    self.refinement = refinement
  }

  package func quantizeRows(_ weights: [Float], columns: Int) throws(UnusableWeight) -> PackedTensor {
    var packed = try base.quantizeRows(weights, columns: columns)
    refinement.refine(&packed, of: weights)
    return packed
  }
}

extension MomentMatrix {
  /// Returns the sums of each column over some rows, `[order]`.
  fileprivate func sums(ofRows rows: Range<Int>) -> [Double] {
    var sums = [Double](repeating: 0, count: order)
    for row in rows {
      let elements = view.row(row)
      for column in 0..<order { sums[column] += Double(elements[column]) }
    }
    return sums
  }
}
