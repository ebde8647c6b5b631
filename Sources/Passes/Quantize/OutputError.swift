package import Kernels
package import Models

/// The error of quantized linears' outputs relative to the originals'.
package struct OutputError: Sendable {
  private static let rowsPerChunk = 64
  private var squaredError = 0.0
  private var squaredNorm = 0.0

  /// Begins without a linear.
  package init() {}

  /// The root of the mean squared difference of the outputs, relative to the outputs.
  package var relative: Double { (squaredError / max(squaredNorm, .leastNormalMagnitude)).squareRoot() }

  /// The inputs of a quantized linear and its original for one window, each `[tokens, in]`.
  package struct Inputs: Sendable {
    let quantized: Matrix
    let original: Matrix

    /// Joins two inputs of the same shape.
    package init(quantized: Matrix, original: Matrix) {
      self.quantized = quantized
      self.original = original
    }
  }

  /// Adds a linear that reads the same input as its original.
  ///
  /// - Parameters:
  ///   - quantized: `[out, in]`.
  ///   - original: `[out, in]`.
  ///   - means: The input's second moments, `[in, in]`.
  package mutating func add(of quantized: Weight, to original: Weight, means: [Float]) {
    let columns = original.columnCount
    let ranges = stride(from: 0, to: original.rowCount, by: Self.rowsPerChunk).map {
      $0..<min($0 + Self.rowsPerChunk, original.rowCount)
    }
    let parts = parallelMap(ranges.count) { index in
      let weights = original.floats(rows: ranges[index])
      var difference = quantized.floats(rows: ranges[index])
      var span = difference.mutableSpan
      addScaled(weights.span, scale: -1, to: &span)
      return (
        error: quadraticForm(difference, means, columns: columns),
        norm: quadraticForm(weights, means, columns: columns)
      )
    }
    for part in parts {
      squaredError += part.error
      squaredNorm += part.norm
    }
  }

  /// Adds a linear after quantized layers, compared with its original in the original model.
  ///
  /// - Parameters:
  ///   - quantized: `[out, in]`.
  ///   - original: `[out, in]`.
  ///   - inputs: The inputs of some windows.
  package mutating func add(of quantized: Weight, to original: Weight, inputs: [Inputs]) {
    let (changed, own) = (LinearGroup(quantized), LinearGroup(original))
    for window in inputs {
      var difference = changed(window.quantized).values
      let expected = own(window.original).values
      var span = difference.mutableSpan
      addScaled(expected.span, scale: -1, to: &span)
      squaredError += Double(sumOfSquares(span.span))
      squaredNorm += Double(sumOfSquares(expected.span))
    }
  }
}

extension LinearGroup {
  /// Wraps one weight without a name.
  fileprivate init(_ weight: Weight) { self.init([Linear(name: "", weight: weight)]) }
}

/// Computes the trace of `x · means · xᵀ`.
private func quadraticForm(_ x: [Float], _ means: [Float], columns: Int) -> Double {
  let x = Matrix(rows: x.count / columns, columns: columns, values: x)
  var product = Matrix(rows: x.rowCount, columns: columns)
  var target = product.mutableView
  multiply(x.view, MatrixView(means.span, rows: columns, columns: columns), into: &target)
  return (0..<x.rowCount).reduce(0) { sum, row in
    sum + Double(dot(x.view.row(row), product.view.row(row)))
  }
}
