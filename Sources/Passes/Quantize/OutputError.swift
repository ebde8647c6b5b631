package import Kernels
package import Models

/// The error of quantized linears' outputs relative to the originals'.
package struct OutputError: Sendable {
  private static let rowsPerChunk = 64
  private var squaredError = 0.0
  private var squaredNorm = 0.0

  /// Begins without a linear.
  package init() {}

  /// Whether any linear was added.
  var isMeasured: Bool { squaredNorm > 0 }

  /// The root of the mean squared difference of the outputs, relative to the outputs.
  package var relative: Double { (squaredError / max(squaredNorm, .leastNormalMagnitude)).squareRoot() }

  /// The same of the linears added since an earlier state; nil when none was added.
  func relative(since earlier: OutputError) -> Double? {
    let norm = squaredNorm - earlier.squaredNorm
    return norm > 0 ? (max(squaredError - earlier.squaredError, 0) / norm).squareRoot() : nil
  }

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

  /// Adds a linear whose error is known.
  package mutating func add(_ squares: OutputSquares) {
    squaredError += squares.error
    squaredNorm += squares.norm
  }

  /// Adds a linear that reads the same input as its original.
  ///
  /// - Parameters:
  ///   - quantized: `[out, in]`.
  ///   - original: `[out, in]`.
  ///   - moments: The input's second moments.
  package mutating func add(of quantized: Weight, to original: Weight, moments: MomentMatrix) {
    let ranges = stride(from: 0, to: original.rowCount, by: Self.rowsPerChunk).map {
      $0..<min($0 + Self.rowsPerChunk, original.rowCount)
    }
    let parts = parallelMap(ranges.count) { index in
      let weights = original.floats(rows: ranges[index])
      var difference = quantized.floats(rows: ranges[index])
      var span = difference.mutableSpan
      addScaled(weights.span, scale: -1, to: &span)
      return (
        error: quadraticForm(difference, moments),
        norm: quadraticForm(weights, moments)
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
  ///   - operands: The type that inputs and weights may be rounded to.
  package mutating func add(
    of quantized: Weight, to original: Weight, inputs: [Inputs], operands: ProductOperands = .f32
  ) {
    for squares in Self.squares(of: quantized, to: original, inputs: inputs, operands: operands) {
      add(squares)
    }
  }

  /// Returns the squares of a linear's output errors for each window; the parameters are those of `add`.
  static func squares(
    of quantized: Weight, to original: Weight, inputs: [Inputs], operands: ProductOperands
  ) -> [OutputSquares] {
    let (changed, own) = (LinearGroup(quantized, operands), LinearGroup(original, operands))
    return inputs.map { window in
      var difference = changed(window.quantized).values
      let expected = own(window.original).values
      var span = difference.mutableSpan
      addScaled(expected.span, scale: -1, to: &span)
      return OutputSquares(
        error: Double(sumOfSquares(span.span)), norm: Double(sumOfSquares(expected.span)))
    }
  }
}

extension OutputSquares: NumberCoded {
  package static var numberCount: Int { 2 }
  package var numbers: [Double] { [error, norm] }
  package init(numbers: ArraySlice<Double>) {
    self.init(error: numbers[numbers.startIndex], norm: numbers[numbers.startIndex + 1])
  }
}

extension LinearGroup {
  /// Wraps one weight without a name.
  fileprivate init(_ weight: Weight, _ operands: ProductOperands) {
    self.init([Linear(name: "", weight: weight)])
    self.operands = operands
  }
}

/// Computes the trace of `x · S · xᵀ` for the moments S, from their upper triangle.
private func quadraticForm(_ x: [Float], _ moments: MomentMatrix) -> Double {
  let order = moments.order
  let x = Matrix(rows: x.count / order, columns: order, values: x)
  var sum = 0.0
  for start in stride(from: 0, to: order, by: 256) {
    let block = start..<min(start + 256, order)
    let (square, rest) = (block, block.upperBound..<order)
    ScratchPool.shared.withMatrix(rows: x.rowCount, columns: order - start) { product in
      multiply(
        x.view[columns: block], moments.view[block, start..<order], into: &product)
      for row in 0..<x.rowCount {
        let (values, products) = (x.view.row(row), product.view.row(row))
        sum += Double(dot(values.extracting(square), products.extracting(0..<square.count)))
        sum += 2 * Double(dot(values.extracting(rest), products.extracting(square.count...)))
      }
    }
  }
  return sum
}
