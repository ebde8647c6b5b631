package import Kernels
package import Models

extension LowRankFactors {
  /// The factors that approximate a weight together with its rounding, each found for what the other leaves.
  ///
  /// With `Q₁` what the linear has, `Bₜ · Aₜ` is `[W - Qₜ]`, the brackets truncated to the rank, and `Qₜ₊₁` is `W - Bₜ · Aₜ`
  /// rounded to nearest in the bits and groups of `Q₁`. The error may rise from one iteration to the next.
  ///
  /// - Parameters:
  ///   - weight: W, `[out, in]`, finite.
  ///   - linear: Its packed form, without an adapter; becomes that of the last iteration.
  ///   - iterations: At least 1, which leaves the linear as it is.
  ///   - rank: What is asked for; at most `min(out, in)` rows are found.
  ///   - tables: The formats that scales and biases are stored in.
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

/// The formats that the tables of a packed weight are stored in.
package struct TableFormats: Sendable, Equatable {
  /// That of the scales.
  package let scales: FloatFormat
  /// That of the biases.
  package let biases: FloatFormat

  /// Joins two formats.
  package init(scales: FloatFormat, biases: FloatFormat) {
    self.scales = scales
    self.biases = biases
  }
}

extension Weight {
  /// Another weight, rounded to nearest in the bits and groups of this one.
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
