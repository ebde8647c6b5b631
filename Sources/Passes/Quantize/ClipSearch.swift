import Kernels

/// Round to nearest in a range that is clipped at both ends as far as this lowers the error.
///
/// Source: the two-sided search of BitDistiller, arXiv:2402.10631. The error is weighted by `E[x²]` of the
/// input if it is known, as in AutoRound, arXiv:2309.05516.
package struct ClipSearch: RowQuantizer {
  package let grid: QuantizationGrid
  /// `E[x²]` of every input feature; nil when unknown.
  private let importance: [Float]?

  package init(grid: QuantizationGrid, importance: [Float]? = nil) {
    self.grid = grid
    self.importance = importance
  }

  package func quantizeRows(_ weights: [Float], columns: Int) throws(UnusableWeight) -> PackedTensor {
    try requireFinite(weights)
    if let fit = LatticeFit(grid.layout) {
      return grid.latticeSearched(
        fit, weights, importance: importance ?? [Float](repeating: 1, count: columns))
    }
    let tables = grid.clipped(
      weights, importance: importance ?? [Float](repeating: 1, count: columns), columns: columns)
    return PackedTensor(codes: grid.packed(grid.nearestCodes(weights, tables, columns: columns)), tables)
  }
}

extension QuantizationGrid {
  /// Finds scales and biases by the clip search.
  ///
  /// - Parameters:
  ///   - weights: `[rows, columns]`, finite.
  ///   - importance: `[columns]`.
  ///   - columns: A multiple of the columns of a block.
  /// - Returns: Tables as they are stored.
  func clipped(_ weights: [Float], importance: [Float], columns: Int) -> GroupTables {
    if let fit = ZeroPointFit(layout) {
      return fit.searched(weights, importance: importance, tables: tables)
    }
    let (scales, biases) = freelyClipped(weights, importance: importance, columns: columns)
    return stored(scales: scales, biases: biases, for: weights, importance: importance)
  }

  /// Finds scales and biases by the clip search for groups with free tables.
  ///
  /// - Parameters:
  ///   - weights: `[rows, columns]`, finite.
  ///   - importance: `[columns]`.
  ///   - columns: A multiple of the group size.
  /// - Returns: `[rows, groups]` each, of full precision.
  func freelyClipped(
    _ weights: [Float], importance: [Float], columns: Int
  ) -> (scales: [Float], biases: [Float]) {
    var scales = [Float](repeating: 0, count: weights.count / groupSize)
    var biases = scales
    var scaleSpan = scales.mutableSpan
    var biasSpan = biases.mutableSpan
    searchClipping(
      weights.span, importance: importance.span, bits: bits, groupSize: groupSize, columnCount: columns,
      scales: &scaleSpan, biases: &biasSpan)
    return (scales, biases)
  }
}
