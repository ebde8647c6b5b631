import Foundation
import Kernels

/// Half-quadratic quantization: scales from the range, and biases that make the errors sparse, without data.
///
/// For each group `s = top / (max - min)` and initially `z = -min · s`. An iteration rounds, `wr =
/// (clamp(round(w · s + z)) - z) / s`; shrinks the errors `e = w - wr` to `sign(e) · max(|e| - |e|^(p - 1) /
/// β, 0)` with p = 0.7; and moves the zero point to the mean of `q - (w - e) · s`. β begins with 10 and grows
/// by 1 percent per iteration, for at most 20 iterations. `w ≈ q / s - z / s`.
///
/// The source stops when the mean absolute error of the whole tensor no longer falls, and keeps the last zero
/// point. Here each group stops on its own and keeps its best zero point, so that rows do not depend on each
/// other.
///
/// Source: Badri and Shaji, Half-Quadratic Quantization of Large Machine Learning Models, Mobius Labs, 2023,
/// with the constants of its code.
package struct HalfQuadratic: RowQuantizer {
  private static let exponent: Float = 0.7
  private static let firstBeta: Float = 10
  private static let growthOfBeta: Float = 1.01
  private static let iterationCount = 20
  package let grid: QuantizationGrid

  package init(grid: QuantizationGrid) { self.grid = grid }

  package func quantizeRows(_ weights: [Float], columns: Int) throws(UnusableWeight) -> PackedTensor {
    try requireFinite(weights)
    var (scales, biases): ([Float], [Float]) = ([], [])
    for start in stride(from: 0, to: weights.count, by: grid.groupSize) {
      let table = table(of: weights.span.extracting(start..<start + grid.groupSize))
      scales.append(table.scale)
      biases.append(table.bias)
    }
    let tables =
      ZeroPointFit(grid.layout)?.nearest(
        scales: scales, biases: biases, groupsPerRow: columns / grid.groupSize, tables: grid.tables)
      ?? grid.stored(
        scales: scales, biases: biases, for: weights, importance: [Float](repeating: 1, count: columns))
    return PackedTensor(codes: grid.packed(grid.nearestCodes(weights, tables, columns: columns)), tables)
  }

  /// Returns the scale and bias of one group.
  private func table(of group: Span<Float>) -> (scale: Float, bias: Float) {
    var (low, high) = (group[0], group[0])
    for i in group.indices { (low, high) = (min(low, group[i]), max(high, group[i])) }
    let range = high - low
    // As in the source: a group with almost no range gets the scale 1, and no scale is above 20,000.
    let factor = abs(range) <= 1e-4 ? 1 : min(grid.top / range, 20_000)
    return (1 / factor, -zeroPoint(of: group, factor: factor, first: -low * factor) / factor)
  }

  private func zeroPoint(of group: Span<Float>, factor: Float, first: Float) -> Float {
    var (zero, best, least) = (first, first, Float.infinity)
    for shrinkage in Self.shrinkages {
      let step = iterate(group, factor: factor, zero: zero, shrinkage)
      guard step.error < least else { break }
      (least, best, zero) = (step.error, zero, step.zero)
    }
    return best
  }

  /// Returns the sum of absolute errors with a zero point, and the next zero point.
  private func iterate(
    _ group: Span<Float>, factor: Float, zero: Float, _ shrinkage: Shrinkage
  ) -> (error: Float, zero: Float) {
    var (error, sum): (Float, Float) = (0, 0)
    for i in group.indices {
      let position = group[i] * factor
      let code = min(max((position + zero).rounded(.toNearestOrEven), 0), grid.top)
      let difference = group[i] - (code - zero) / factor
      error += abs(difference)
      let kept = (group[i] - shrunk(difference, shrinkage)) * factor
      sum += code - kept
    }
    return (error, sum / Float(group.count))
  }

  /// Takes the proximal step of the p-norm.
  private func shrunk(_ error: Float, _ shrinkage: Shrinkage) -> Float {
    let size = abs(error)
    guard size > shrinkage.limit else { return 0 }
    let rest = max(size - pow(size, Self.exponent - 1) / shrinkage.beta, 0)
    return error < 0 ? -rest : rest
  }

  /// β of an iteration, and the size up to which errors become zero: `β^(-1 / (2 - p))`.
  private struct Shrinkage {
    let beta: Float
    let limit: Float
  }

  private static let shrinkages: [Shrinkage] = (0..<iterationCount).map { iteration in
    let beta = firstBeta * pow(growthOfBeta, Float(iteration))
    return Shrinkage(beta: beta, limit: pow(beta, -1 / (2 - exponent)))
  }
}
