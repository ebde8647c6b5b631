package import Kernels
package import Models

extension LowRankFactors {
  /// Approximates a weight by factors and a rounded weight, computed alternately from each other's remainder.
  ///
  /// With `Q₁` the linear's current weight, `Bₜ · Aₜ` is `[W - Qₜ]`, with brackets for truncation to the
  /// rank, and `Qₜ₊₁` is `W - Bₜ · Aₜ` rounded to nearest with the bits and groups of `Q₁`. The error can
  /// rise from one iteration to the next.
  ///
  /// - Parameters:
  ///   - weight: W, `[out, in]`, finite.
  ///   - linear: The packed form of W, without an adapter; becomes that of the last iteration.
  ///   - iterations: At least 1; a single iteration does not change the linear.
  ///   - rank: The requested rank; the result has at most `min(out, in)` rows.
  ///   - tables: The stored formats of scales and biases.
  /// - Returns: The factors of the last iteration.
  /// - Throws: `PassError.notFinite`, `FactorizationError`.
  /// - Source: LoftQ, arXiv:2310.08659, algorithm 1, which begins with W rounded to nearest.
  package static func alternating(
    for weight: DoubleMatrix, with linear: inout Linear, iterations: Int, rank: Int, tables: TableFormats
  ) throws -> LowRankFactors {
    precondition(linear.adapter == nil, "'\(linear.name)' has an adapter")
    var factors = try LowRankFactors(approximating: weight.subtracting(linear.foldedDoubles()), rank: rank)
    for _ in 1..<iterations {
      linear.weight = try linear.weight.rounding(
        weight.subtracting(factors.product), name: linear.name + ".weight", tables: tables)
      factors = try LowRankFactors(approximating: weight.subtracting(linear.foldedDoubles()), rank: rank)
    }
    return factors
  }
}

/// The stored formats of a packed weight's tables.
package struct TableFormats: Sendable, Equatable {
  /// The format of the scales.
  package let scales: FloatFormat
  /// The format of the biases.
  package let biases: FloatFormat

  /// Joins two formats.
  package init(scales: FloatFormat, biases: FloatFormat) {
    self.scales = scales
    self.biases = biases
  }
}

extension Weight {
  /// Rounds another weight to nearest with the bits and groups of this one.
  fileprivate func rounding(_ weight: DoubleMatrix, name: String, tables: TableFormats) throws -> Weight {
    guard let packed else { preconditionFailure("'\(name)' is dense") }
    let grid = QuantizationGrid(bits: packed.bits, groupSize: packed.groupSize, tables: tables.scales)
    let columns = columnCount
    var rounded = try RoundToNearest(grid: grid).quantize(rows: rowCount, columns: columns, name: name) {
      rows, values in
      let start = rows.lowerBound * columns
      for i in values.indices { values[i] = Float(weight.values[start + i]) }
    }
    rounded.scales = widened(narrowed(rounded.scales, to: tables.scales), from: tables.scales)
    rounded.biases = widened(narrowed(rounded.biases, to: tables.biases), from: tables.biases)
    return replaced(by: rounded, on: grid)
  }
}
