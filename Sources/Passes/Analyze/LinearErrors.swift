package import Kernels
package import Models

/// What quantization took from a linear, and what products of a low rank could give back.
package struct LinearErrors: Sendable {
  /// The shares of the error's energy, for each of which a rank is told.
  package static let energyShares = [0.5, 0.8, 0.9, 0.95]
  /// The ranks for which output errors are told, as far as the linear has them.
  package static let ranks = [0, 1, 2, 4, 8, 16, 32, 64, 128]

  /// The module: `model.layers.0.self_attn.q_proj`.
  package let name: String
  /// The output features.
  package let rowCount: Int
  /// The input features.
  package let columnCount: Int
  /// `‖W - Wq‖ / ‖W‖` in the Frobenius norm, without the adapter.
  package let relativeError: Double
  /// The singular values of `W - Wq`, largest first, `[min(out, in)]`.
  package let singularValues: [Double]
  /// The least ranks that hold each of `energyShares` of the squared error.
  package let ranksForEnergy: [Int]
  /// What becomes of it on the inputs of a text.
  package let outputs: OutputErrors?
  /// What is left with the adapter that the linear has.
  package let adapter: AdapterError?

  /// Errors of the output, relative to the output, in the root of the mean square.
  package struct OutputErrors: Sendable {
    /// With the truncated singular value decomposition of the error added, a value for each rank.
    package let svd: [Double]
    /// With the product added that makes the output error least, a value for each rank.
    package let qera: [Double]
  }

  /// Errors with an adapter.
  package struct AdapterError: Sendable {
    /// The rows of A.
    package let rank: Int
    /// `‖W - Wq - B · A‖ / ‖W‖`.
    package let relativeError: Double
    /// The same of the output, when inputs are known.
    package let relativeOutputError: Double?
  }

  /// The part of the name behind the last dot: `q_proj`.
  package var kind: String { name.split(separator: ".").last.map(String.init) ?? name }

  /// The ranks that `outputs` has values for.
  package var outputRanks: [Int] { Self.ranks.filter { $0 <= singularValues.count } }

  /// Compares a linear with its original.
  ///
  /// - Parameters:
  ///   - linear: Packed or dense, perhaps with an adapter.
  ///   - original: Of the same shape.
  ///   - moments: The second moments of the input, `[in, in]`; nil when they are not known.
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

  /// The output error that is left when the leading directions are made good.
  ///
  /// With `G = E · S · Eᵀ`: directions u that are singular vectors of E take `uᵀ · G · u` away each, and G's own eigenvectors
  /// its eigenvalues, which is the most that a rank can.
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
