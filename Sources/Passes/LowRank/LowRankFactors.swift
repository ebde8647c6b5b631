package import Kernels

/// Two factors whose product `B · A` approximates a larger matrix.
package struct LowRankFactors: Sendable {
  /// `[rank, columns]`.
  package private(set) var a: DoubleMatrix
  /// Bᵀ, `[rank, out]`.
  package private(set) var transposedB: DoubleMatrix

  /// The number of rows of A.
  package var rank: Int { a.rowCount }

  /// `B · A`, `[out, columns]`.
  package var product: DoubleMatrix { transposedB.times(a, .transposedLeft) }

  /// Computes the factors nearest to a matrix, or those that minimize the output error for given input
  /// moments.
  ///
  /// B holds the leading eigenvectors U of `E · S · Eᵀ`, and A is `Uᵀ · E`. This minimizes `‖(E - B·A) ·
  /// S^½‖` over all products of the rank without inverting S. Without moments it is the truncated singular
  /// value decomposition.
  ///
  /// - Parameters:
  ///   - error: E, `[out, in]`, finite.
  ///   - moments: S, `[in, in]`; nil for the identity.
  ///   - rank: The requested rank; the result has at most `min(out, in)` rows.
  /// - Source: QERA, arXiv:2410.06040, theorem 1, whose `SVD(E · S^½) · S^-½` is the same product; without
  ///   moments LoftQ, arXiv:2310.08659, algorithm 1, after one quantization.
  /// - Throws: `FactorizationError` when error or moments are not finite.
  package init(
    approximating error: DoubleMatrix, moments: DoubleMatrix? = nil, rank: Int
  ) throws(FactorizationError) {
    let spectrum = try ErrorSpectrum(of: error, moments: moments)
    transposedB = try spectrum.directions(min(rank, spectrum.energies.count))
    a = transposedB.times(error)
    balance()
  }

  /// Computes the factors of a change that is the same in all columns of a group and minimizes the output
  /// error.
  ///
  /// With `P` the indicator of groups, `N = E · S · P` and `M = Pᵀ · S · P`, the best change of the biases is
  /// `N · M⁻¹`. Its best approximation of a rank, in the norm of M, is `[N · Uᵀ] · U` with `M⁻¹ = Uᵀ · U` and
  /// brackets for truncation.
  ///
  /// - Parameters:
  ///   - error: E, `[out, in]`, finite.
  ///   - moments: S, `[in, in]`; nil for the identity.
  ///   - groupSize: The number of columns per group; divides `in`.
  ///   - rank: The requested rank; the result has at most `min(out, in / groupSize)` rows.
  /// - Source: derived from least squares for fixed codes; the bias form of QA-LoRA, arXiv:2309.14717.
  /// - Throws: `FactorizationError` when error or moments are not finite.
  package init(
    approximatingBiases error: DoubleMatrix, moments: DoubleMatrix?, groupSize: Int, rank: Int
  ) throws(FactorizationError) {
    let weighted = (moments.map { error.times($0) } ?? error).summedColumns(of: groupSize)
    let groupCount = error.columnCount / groupSize
    let pooledMoments: DoubleMatrix
    if let moments {
      pooledMoments = moments.pooled(by: groupSize)
    } else {
      var identity = DoubleMatrix(rows: groupCount, columns: groupCount)
      for i in 0..<groupCount { identity.values[i * (groupCount + 1)] = Double(groupSize) }
      pooledMoments = identity
    }
    let factor = try pooledMoments.dampedFactor { inverseFactor(of: $0, order: $1) }
    let image = weighted.times(factor, .transposedRight)
    let spectrum = try ErrorSpectrum(of: image)
    transposedB = try spectrum.directions(min(rank, spectrum.energies.count))
    a = transposedB.times(image).times(factor)
    balance()
  }

  /// Joins two factors.
  package init(a: DoubleMatrix, transposedB: DoubleMatrix) {
    precondition(a.rowCount == transposedB.rowCount, "ranks differ: \(a.rowCount), \(transposedB.rowCount)")
    self.a = a
    self.transposedB = transposedB
    balance()
  }

  /// Scales each row of A and its column of B to the same length, so that training moves both alike.
  private mutating func balance() {
    for (i, (square, other)) in zip(
      a.rowProducts(with: a), transposedB.rowProducts(with: transposedB)
    ).enumerated() {
      let isZero = square == 0 || other == 0
      let factor = isZero ? 0 : (other / square).squareRoot().squareRoot()
      for j in a.row(i) { a.values[j] *= factor }
      for j in transposedB.row(i) { transposedB.values[j] *= isZero ? 0 : 1 / factor }
    }
  }
}

extension DoubleMatrix {
  /// Sums groups of columns, `[rows, columns / groupSize]`.
  package func summedColumns(of groupSize: Int) -> DoubleMatrix {
    var sums = DoubleMatrix(rows: rowCount, columns: columnCount / groupSize)
    for i in sums.values.indices {
      sums.values[i] = values[i * groupSize..<(i + 1) * groupSize].reduce(0, +)
    }
    return sums
  }

  /// Sums groups of columns and rows, `[rows / groupSize, columns / groupSize]`.
  func pooled(by groupSize: Int) -> DoubleMatrix {
    groupSize == 1 ? self : summedColumns(of: groupSize).summedRows(of: groupSize)
  }

  /// Sums groups of rows, `[rows / groupSize, columns]`.
  private func summedRows(of groupSize: Int) -> DoubleMatrix {
    var sums = DoubleMatrix(rows: rowCount / groupSize, columns: columnCount)
    for i in 0..<rowCount {
      for j in 0..<columnCount {
        sums.values[i / groupSize * columnCount + j] += values[i * columnCount + j]
      }
    }
    return sums
  }

  /// Repeats every column `groupSize` times, `[rows, columns * groupSize]`.
  package func spreadColumns(over groupSize: Int) -> DoubleMatrix {
    var spread = DoubleMatrix(rows: rowCount, columns: columnCount * groupSize)
    for i in spread.values.indices { spread.values[i] = values[i / groupSize] }
    return spread
  }

  /// Returns the trace of `X · S · Xᵀ`: the mean squared output of this weight on inputs with moments S.
  ///
  /// Without moments it is the sum of squares.
  package func energy(moments: DoubleMatrix?) -> Double {
    guard let moments else { return squaredNorm }
    return times(moments).rowProducts(with: self).reduce(0, +)
  }

  /// Subtracts another matrix of this shape.
  package func subtracting(_ other: DoubleMatrix) -> DoubleMatrix {
    precondition(layout == other.layout, "\(layout) and \(other.layout)")
    var difference = self
    var span = difference.values.mutableSpan
    addScaled(other.values.span, scale: -1, to: &span)
    return difference
  }
}

extension DoubleMatrix {
  /// Takes the means of an input's products, `[order, order]`.
  package init(_ moments: SecondMoments) {
    self.init(rows: moments.order, columns: moments.order, values: moments.means)
  }
}
