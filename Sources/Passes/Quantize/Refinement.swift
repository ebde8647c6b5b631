import Kernels

/// Lowers the error of what a quantizer found, by the inputs' second moments S.
///
/// The layer error `trace((Wq - W) · S · (Wq - W)ᵀ)` is quadratic in the scales and biases of a row while its codes are fixed,
/// so that these have a closed-form optimum (the refit); and in each weight while all others are fixed, so that codes
/// improve one after the other (a sweep, columns in order). A refit goes before every sweep and behind the last one. The
/// error of a row never rises: a refit that would raise it, as rounding to the tables' format may, is not taken.
///
/// Source: of the refit, the normal equations; of sweeps, QuantEase, arXiv:2309.01885; both in turn as in LNQ of GuidedQuant,
/// arXiv:2505.07004.
package struct Refinement: Sendable {
  /// What is done.
  package struct Steps: Sendable, Equatable {
    /// Whether scales and biases are fitted.
    package var refits: Bool
    /// How often every code is chosen again; fewer times when none changes any more.
    package var sweeps: Int

    package init(refits: Bool, sweeps: Int) {
      self.refits = refits
      self.sweeps = sweeps
    }

    /// Whether nothing is to be done.
    var areNone: Bool { !refits && sweeps == 0 }
  }

  let grid: QuantizationGrid
  let steps: Steps
  /// S, `[order, order]`.
  let moments: [Float]
  /// The columns.
  let order: Int
  /// The sums of S over pairs of groups, `[groups, groups]`.
  let pooledMoments: [Double]

  var groupCount: Int { order / grid.groupSize }
  /// S, to be read.
  var momentsView: MatrixView<Float> {
    @_lifetime(borrow self) get { MatrixView(moments.span, rows: order, columns: order) }
  }

  /// Prepares for the linears that read one input.
  ///
  /// - Parameters:
  ///   - grid: Where codes and tables lie.
  ///   - moments: S, `[order, order]`, symmetric.
  ///   - order: The input features; the group size divides them.
  ///   - steps: What to do.
  package init(grid: QuantizationGrid, moments: [Float], order: Int, steps: Steps) {
    precondition(moments.count == order * order, "\(moments.count) moments, order \(order)")
    self.grid = grid
    self.steps = steps
    self.moments = moments
    self.order = order
    let groupCount = order / grid.groupSize
    var pooled = [Double](repeating: 0, count: groupCount * groupCount)
    for i in 0..<order {
      for j in 0..<order {
        pooled[i / grid.groupSize * groupCount + j / grid.groupSize] += Double(moments[i * order + j])
      }
    }
    pooledMoments = pooled
  }

  /// Refines some rows.
  ///
  /// - Parameters:
  ///   - packed: Their codes and tables.
  ///   - weights: What they stand for, `[rows, order]`, finite.
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

/// A quantizer with a refinement behind it.
package struct RefinedQuantizer: RowQuantizer {
  private let base: any RowQuantizer
  private let refinement: Refinement

  package var grid: QuantizationGrid { base.grid }

  /// - Parameters:
  ///   - base: Finds the codes and tables to begin with.
  ///   - refinement: For the same grid.
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
