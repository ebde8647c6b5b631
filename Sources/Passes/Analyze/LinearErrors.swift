package import Kernels
package import Models

/// The quantization error of a linear, and the error left after low-rank corrections.
package struct LinearErrors: Sendable {
  /// The shares of the error's energy that `ranksForEnergy` reports.
  package static let energyShares = [0.5, 0.8, 0.9, 0.95]
  /// The ranks for which output errors are reported, as far as the linear has them.
  package static let ranks = [0, 1, 2, 4, 8, 16, 32, 64, 128]

  /// The module: `model.layers.0.self_attn.q_proj`.
  package let name: String
  /// The number of output features.
  package let rowCount: Int
  /// The number of input features.
  package let columnCount: Int
  /// `‖W - Wq‖ / ‖W‖` in the Frobenius norm, without the adapter.
  package let relativeError: Double
  /// The singular values of `W - Wq`, largest first, `[min(out, in)]`.
  package let singularValues: [Double]
  /// The lowest ranks that capture each of `energyShares` of the squared error.
  package let ranksForEnergy: [Int]
  /// The output errors on the inputs of a text; nil without a text.
  package let outputs: OutputErrors?
  /// The error left with the linear's adapter; nil without an adapter.
  package let adapter: AdapterError?

  /// Root mean square errors of the output, relative to the output.
  package struct OutputErrors: Sendable {
    /// The errors with the truncated singular value decomposition of the weight's error added, one per rank.
    package let svd: [Double]
    /// The errors with the product added that minimizes the output error, one per rank.
    package let qera: [Double]
  }

  /// The errors with an adapter.
  package struct AdapterError: Sendable {
    /// The number of rows of A.
    package let rank: Int
    /// `‖W - Wq - B · A‖ / ‖W‖`.
    package let relativeError: Double
    /// The relative error of the output, if inputs are known.
    package let relativeOutputError: Double?
  }

  /// The part of the name after the last dot: `q_proj`.
  package var kind: String { name.split(separator: ".").last.map(String.init) ?? name }

  /// The ranks of the values in `outputs`.
  package var outputRanks: [Int] { Self.ranks.filter { $0 <= singularValues.count } }

  /// Compares a linear with its original.
  ///
  /// - Parameters:
  ///   - linear: The linear, packed or dense, with or without an adapter.
  ///   - original: The original linear of the same shape.
  ///   - moments: The second moments of the input, `[in, in]`; nil when unknown.
  /// - Throws: `PassError.notFinite`, `ModelError.notFinite`.
  package init(of linear: Linear, original: Linear, moments: DoubleMatrix? = nil) throws {
    let weight = try original.foldedDoubles()
    let error = weight.subtracting(try Linear(name: linear.name, weight: linear.weight).foldedDoubles())
    let spectrum = try namingModule(linear.name) { try ErrorSpectrum(of: error) }
    let norm = weight.squaredNorm
    name = linear.name
    rowCount = weight.rowCount
    columnCount = weight.columnCount
    relativeError = Self.relative(error.squaredNorm, norm)
    singularValues = spectrum.energies.map { $0.squareRoot() }
    ranksForEnergy = Self.ranksForEnergy(of: spectrum.energies)
    let outputNorm = moments.map { weight.energy(moments: $0) }
    let ranks = Self.ranks.filter { $0 <= spectrum.energies.count }
    outputs = try moments.map { moments in
      try namingModule(linear.name) {
        try Self.outputErrors(of: error, spectrum, moments, ranks, norm: outputNorm ?? 0)
      }
    }
    adapter = try linear.adapter.map { adapter in
      let left = weight.subtracting(try linear.foldedDoubles())
      return AdapterError(
        rank: adapter.rank, relativeError: Self.relative(left.squaredNorm, norm),
        relativeOutputError: outputNorm.map { Self.relative(left.energy(moments: moments), $0) })
    }
  }

  private static func relative(_ squaredError: Double, _ squaredNorm: Double) -> Double {
    (max(squaredError, 0) / max(squaredNorm, .leastNormalMagnitude)).squareRoot()
  }

  private static func ranksForEnergy(of energies: [Double]) -> [Int] {
    let total = energies.reduce(0, +)
    return energyShares.map { share in
      var (rank, sum) = (0, 0.0)
      while rank < energies.count, sum < share * total {
        sum += energies[rank]
        rank += 1
      }
      return rank
    }
  }

  /// Returns the output errors left after correcting the leading directions.
  ///
  /// With `G = E · S · Eᵀ`, each direction u among the left singular vectors of E removes `uᵀ · G · u`, and
  /// each eigenvector of G removes its eigenvalue, which is the maximum for a given rank.
  private static func outputErrors(
    of error: DoubleMatrix, _ spectrum: ErrorSpectrum, _ moments: DoubleMatrix, _ ranks: [Int], norm: Double
  ) throws(FactorizationError) -> OutputErrors {
    let components = try spectrum.directions(ranks[ranks.count - 1]).times(error)
    let taken = components.times(moments).rowProducts(with: components)
    let total = error.energy(moments: moments)
    let best = try ErrorSpectrum(of: error, moments: moments).energies
    return OutputErrors(
      svd: ranks.map { relative(total - taken[..<$0].reduce(0, +), norm) },
      qera: ranks.map { relative(total - best[..<$0].reduce(0, +), norm) })
  }
}
