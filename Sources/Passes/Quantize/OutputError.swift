package import Kernels
package import Models

/// How far quantized linears' outputs are from those of the originals: on the same inputs, or where it is known how layers
/// before them changed these, from those of the originals on the original inputs.
package struct OutputError: Sendable {
  private static let rowsPerChunk = 64
  private var squaredError = 0.0
  private var squaredNorm = 0.0

  /// Begins without a linear.
  package init() {}

  /// The root of the mean squared difference of the outputs, relative to the outputs.
  package var relative: Double { (squaredError / max(squaredNorm, .leastNormalMagnitude)).squareRoot() }

  /// Adds a linear.
  ///
  /// With `D = Wq - W`, inputs `xq` of the quantized and `xq + d` of the original one, and H, K and V the moments
  /// `E[xq · xqᵀ]`, `E[d · xqᵀ]` and `E[d · dᵀ]`, the squared error `E‖W · d - D · xq‖²` is the trace of
  /// `D · H · Dᵀ - 2 · W · K · Dᵀ + W · V · Wᵀ`: no term is larger than the errors, so that singles do.
  ///
  /// - Parameters:
  ///   - quantized: Wq, `[out, in]`.
  ///   - original: W, as many.
  ///   - means: H, `[in, in]`.
  ///   - change: K and V; nil when the inputs are the same.
  package mutating func add(
    of quantized: Weight, to original: Weight, means: [Float], _ change: InputChange? = nil
  ) {
    let columns = original.columnCount
    let rowCount = original.rowCount
    let singles = change.map { (cross: $0.crossMoments.singles, own: $0.moments.singles) }
    let norms = change.map { $0.originalMoments(means) } ?? means
    let ranges = stride(from: 0, to: rowCount, by: Self.rowsPerChunk).map {
      $0..<min($0 + Self.rowsPerChunk, rowCount)
    }
    let parts = parallelMap(ranges.count) { index in
      let weights = original.values(rows: ranges[index])
      var difference = quantized.values(rows: ranges[index])
      var span = difference.mutableSpan
      addScaled(weights.span, scale: -1, to: &span)
      var error = bilinearForm(difference, means, difference, columns: columns)
      if let singles {
        error += bilinearForm(weights, singles.own, weights, columns: columns)
        error -= 2 * bilinearForm(weights, singles.cross, difference, columns: columns)
      }
      return (error: error, norm: bilinearForm(weights, norms, weights, columns: columns))
    }
    for part in parts {
      squaredError += max(part.error, 0)
      squaredNorm += part.norm
    }
  }
}

/// How the inputs of linears that read one input differ behind quantized layers: `d`, the original less the quantized one.
package struct InputChange: Sendable {
  /// K, `E[d · xqᵀ]`, `[in, in]`.
  package let crossMoments: DoubleMatrix
  /// V, `E[d · dᵀ]`, `[in, in]`.
  package let moments: DoubleMatrix

  /// Joins moments.
  package init(crossMoments: DoubleMatrix, moments: DoubleMatrix) {
    precondition(crossMoments.layout == moments.layout, "\(crossMoments.layout) and \(moments.layout)")
    self.crossMoments = crossMoments
    self.moments = moments
  }

  /// The second moments of the original input, by those of the quantized one: `H + K + Kᵀ + V`.
  fileprivate func originalMoments(_ means: [Float]) -> [Float] {
    let order = moments.rowCount
    precondition(means.count == order * order, "\(means.count) moments, order \(order)")
    return means.indices.map { index in
      let transposed = index % order * order + index / order
      let change = crossMoments.values[index] + crossMoments.values[transposed] + moments.values[index]
      return means[index] + Float(change)
    }
  }
}

extension DoubleMatrix {
  /// The elements as floats.
  fileprivate var singles: [Float] { values.map { Float($0) } }
}

extension Weight {
  /// Some rows as floats.
  fileprivate func values(rows: Range<Int>) -> [Float] {
    var values = [Float](repeating: 0, count: rows.count * columnCount)
    var span = values.mutableSpan
    unpack(rows: rows, columns: 0..<columnCount, into: &span)
    return values
  }
}

/// The trace of `x · means · yᵀ`.
private func bilinearForm(_ x: [Float], _ means: [Float], _ y: [Float], columns: Int) -> Double {
  let layout = MatrixLayout(rows: x.count / columns, columns: columns)
  var product = [Float](repeating: 0, count: x.count)
  var span = product.mutableSpan
  multiply(
    .plain, x.span, layout, means.span, MatrixLayout(rows: columns, columns: columns), into: &span, layout)
  return stride(from: 0, to: x.count, by: columns).reduce(0) { sum, start in
    sum
      + Double(
        dot(y.span.extracting(start..<start + columns), product.span.extracting(start..<start + columns)))
  }
}
