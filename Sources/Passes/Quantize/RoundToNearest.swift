import Checkpoints
import Kernels

/// Round to nearest: `scale = (max - min) / (2^bits - 1)`, `bias = min` of each group.
///
/// With zero points, the range of a group includes zero, and the zero point is the nearest to `-min / scale`;
/// with a single one, `scale = 2 · max |w| / (2^bits - 1)`, as in GPTQ's code.
///
/// On a lattice grid, every 8 weights get the nearest point, with the scales that give the least error.
///
/// Source: the asymmetric round-to-nearest baseline of RILQ, arXiv:2412.01129, with a float bias.
package struct RoundToNearest: RowQuantizer {
  package let grid: QuantizationGrid

  package init(grid: QuantizationGrid) { self.grid = grid }

  package func quantizeRows(_ weights: [Float], columns: Int) throws(UnusableWeight) -> PackedTensor {
    if let fit = LatticeFit(grid.layout) {
      try requireFinite(weights)
      return grid.latticeSearched(fit, weights, importance: [Float](repeating: 1, count: columns))
    }
    let tableCount = weights.count / grid.groupSize
    var codes = [UInt8](repeating: 0, count: weights.count * grid.bits / 8)
    var scales = [Float](repeating: 0, count: tableCount)
    var biases = scales
    var codeSpan = codes.mutableSpan
    var scaleSpan = scales.mutableSpan
    var biasSpan = biases.mutableSpan
    let bad = quantizeRoundToNearest(
      weights.span, bits: grid.bits, groupSize: grid.groupSize, columnCount: columns, codes: &codeSpan,
      scales: &scaleSpan, biases: &biasSpan)
    if let bad { throw UnusableWeight(index: bad) }
    if let fit = ZeroPointFit(grid.layout) {
      let tables = fit.covering(weights, columns: columns, tables: grid.tables)
      return PackedTensor(codes: grid.packed(grid.nearestCodes(weights, tables, columns: columns)), tables)
    }
    if grid.layout.superBlock != nil {
      let tables = grid.stored(
        scales: scales, biases: biases, for: weights, importance: [Float](repeating: 1, count: columns))
      return PackedTensor(codes: grid.packed(grid.nearestCodes(weights, tables, columns: columns)), tables)
    }
    return PackedTensor(codes: codes, scales: scales, biases: biases)
  }
}
