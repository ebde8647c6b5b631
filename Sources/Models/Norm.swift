package import Checkpoints
package import Kernels

/// A norm of the model, with the weights that multiply.
package struct Norm: Sendable {
  /// What it divides by.
  package let description: NormDescription
  /// `[columns]`, the offset of the description added.
  package let weights: [Float]
  /// `[columns]`; empty without one.
  package let bias: [Float]

  /// Joins a description with its tensors.
  package init(_ description: NormDescription, weights: [Float], bias: [Float] = []) {
    self.description = description
    self.weights = weights
    self.bias = bias
  }

  /// Normalizes one token, or one part of it.
  fileprivate func apply(_ row: Span<Float>, into output: inout MutableSpan<Float>) {
    switch description.kind {
    case .rootMeanSquare:
      _ = rmsNorm(row, weight: weights.span, epsilon: description.epsilon, into: &output)
    case .standardDeviation:
      _ = layerNorm(row, weight: weights.span, bias: bias.span, epsilon: description.epsilon, into: &output)
    }
  }

  /// Adds the gradient of the input of one token, or one part of it.
  fileprivate func addGradient(
    _ row: Span<Float>, _ gradient: Span<Float>, to accumulated: inout MutableSpan<Float>
  ) {
    switch description.kind {
    case .rootMeanSquare:
      rmsNormBackward(
        row: row, weight: weights.span,
        inverseRMS: 1 / (sumOfSquares(row) / Float(row.count) + description.epsilon).squareRoot(),
        gradient: gradient, accumulateInto: &accumulated)
    case .standardDeviation:
      let statistics = ScratchPool.shared.withScratch(row.count) { scratch in
        layerNorm(
          row, weight: weights.span, bias: Span(), epsilon: description.epsilon, into: &scratch)
      }
      layerNormBackward(
        row: row, weight: weights.span, statistics: statistics, gradient: gradient,
        accumulateInto: &accumulated)
    }
  }
}

extension Norm {
  /// Normalizes each row.
  package func callAsFunction(_ x: Matrix) -> Matrix {
    var result = Matrix.unspecified(rows: x.rowCount, columns: x.columnCount)
    var values = result.values.mutableSpan
    parallelRows(of: &values, columnCount: x.columnCount, rowsPerChunk: 32) { rows, part in
      for (i, row) in rows.enumerated() {
        var target = part.slice(i * x.columnCount..<(i + 1) * x.columnCount)
        apply(x.values.span.extracting(x.row(row)), into: &target)
      }
    }
    return result
  }

  /// Adds the gradient of the input.
  ///
  /// - Parameters:
  ///   - x: The input, `[tokens, columns]`.
  ///   - normGradient: The gradient of the result, `[tokens, columns]`.
  ///   - gradient: `[tokens, columns]`; added to.
  package func addGradient(_ x: Matrix, _ normGradient: Matrix, to gradient: inout Matrix) {
    let columnCount = x.columnCount
    var values = gradient.values.mutableSpan
    parallelRows(of: &values, columnCount: columnCount, rowsPerChunk: 32) { rows, part in
      for (i, row) in rows.enumerated() {
        var target = part.slice(i * columnCount..<(i + 1) * columnCount)
        addGradient(
          x.values.span.extracting(x.row(row)), normGradient.values.span.extracting(normGradient.row(row)),
          to: &target)
      }
    }
  }

  /// Normalizes equal parts of some columns of each row, in place.
  func apply(to x: inout Matrix, columns: Range<Int>) {
    let (width, columnCount) = (weights.count, x.columnCount)
    var values = x.values.mutableSpan
    parallelRows(of: &values, columnCount: columnCount, rowsPerChunk: 32) { rows, part in
      ScratchPool.shared.withScratch(width) { scratch in
        for i in rows.indices.map({ $0 - rows.lowerBound }) {
          for start in stride(from: columns.lowerBound, to: columns.upperBound, by: width) {
            let place = i * columnCount + start..<i * columnCount + start + width
            apply(part.span.extracting(place), into: &scratch)
            for j in 0..<width { part[place.lowerBound + j] = scratch[j] }
          }
        }
      }
    }
  }

  /// Replaces the gradient of normalized parts by the gradient of their input.
  ///
  /// - Parameters:
  ///   - x: The input, `[tokens, any]`.
  ///   - columns: The columns that were normalized.
  ///   - gradient: The gradient of the result, `[tokens, any]`; becomes that of the input.
  func replaceGradient(_ x: Matrix, columns: Range<Int>, _ gradient: inout Matrix) {
    let (width, columnCount) = (weights.count, x.columnCount)
    var values = gradient.values.mutableSpan
    parallelRows(of: &values, columnCount: columnCount, rowsPerChunk: 32) { rows, part in
      ScratchPool.shared.withScratch(width) { scratch in
        for (i, row) in rows.enumerated() {
          let input = x.values.span.extracting(x.row(row))
          for start in stride(from: columns.lowerBound, to: columns.upperBound, by: width) {
            for j in 0..<width { scratch[j] = 0 }
            let place = i * columnCount + start..<i * columnCount + start + width
            addGradient(
              input.extracting(start..<start + width), part.span.extracting(place), to: &scratch)
            for j in 0..<width { part[place.lowerBound + j] = scratch[j] }
          }
        }
      }
    }
  }
}
