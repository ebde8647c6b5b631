import CKernels

/// What the backward step of `layerNorm` needs of a row.
package struct LayerNormStatistics: Sendable, Equatable {
  /// The mean.
  package let mean: Float
  /// One over the root of the variance, epsilon included.
  package let inverseDeviation: Float

  /// Joins the numbers.
  package init(mean: Float, inverseDeviation: Float) {
    self.mean = mean
    self.inverseDeviation = inverseDeviation
  }
}

/// Subtracts the mean of a row, divides it by its standard deviation, multiplies it by weights and adds a
/// bias.
///
/// - Parameters:
///   - row: `[columns]`, not empty.
///   - weight: `[columns]`.
///   - bias: `[columns]`, or empty for none.
///   - epsilon: Added to the variance.
///   - output: `[columns]`.
///   - set: The instructions to use.
/// - Returns: What the backward step needs.
/// - Source: Layer normalization, arXiv:1607.06450.
@discardableResult
package func layerNorm(
  _ row: Span<Float>, weight: Span<Float>, bias: Span<Float>, epsilon: Float,
  into output: inout MutableSpan<Float>, on set: InstructionSet = .best
) -> LayerNormStatistics {
  let count = row.count
  let hasBias = !bias.isEmpty
  precondition(
    count > 0 && weight.count == count && output.count == count && (!hasBias || bias.count == count),
    "\(count), \(weight.count), \(bias.count), \(output.count) values")
  let statistics = unsafe writing(&output) { output in
    unsafe reading(row, weight, bias) { row, weight, bias in
      unsafe ck_layer_norm(set.rawValue, row, weight, hasBias ? bias : nil, count, epsilon, output)
    }
  }
  return LayerNormStatistics(mean: statistics.mean, inverseDeviation: statistics.inverse_deviation)
}

/// Adds the gradient of a row that went through `layerNorm`: `r * (h - mean(h) - y * mean(h * y))` with
/// `h = weight * gradient`, `y` the normalized row and `r` one over its deviation.
///
/// - Parameters:
///   - row: `[columns]`, as given to `layerNorm`.
///   - weight: `[columns]`, as given to `layerNorm`.
///   - statistics: The result of `layerNorm`.
///   - gradient: `[columns]`, the gradient of the output.
///   - accumulated: `[columns]`; the gradient of the row is added to it.
///   - set: The instructions to use.
package func layerNormBackward(
  row: Span<Float>, weight: Span<Float>, statistics: LayerNormStatistics, gradient: Span<Float>,
  accumulateInto accumulated: inout MutableSpan<Float>, on set: InstructionSet = .best
) {
  let count = row.count
  precondition(
    count > 0 && weight.count == count && gradient.count == count && accumulated.count == count,
    "\(count), \(weight.count), \(gradient.count), \(accumulated.count) values")
  let numbers = ck_layer_norm_statistics(
    mean: statistics.mean, inverse_deviation: statistics.inverseDeviation)
  unsafe writing(&accumulated) { accumulated in
    unsafe reading(row, weight, gradient) { row, weight, gradient in
      unsafe ck_layer_norm_backward(set.rawValue, row, weight, numbers, gradient, count, accumulated)
    }
  }
}

/// `layerNorm` as a plain loop in double precision, which defines it.
///
/// - Returns: The mean, and one over the deviation.
@discardableResult
package func layerNormReference(
  _ row: Span<Float>, weight: Span<Float>, bias: Span<Float>, epsilon: Float,
  into output: inout MutableSpan<Float>
) -> (mean: Double, inverseDeviation: Double) {
  var (sum, squares) = (0.0, 0.0)
  for i in row.indices { sum += Double(row[i]) }
  let mean = sum / Double(row.count)
  for i in row.indices { squares += (Double(row[i]) - mean) * (Double(row[i]) - mean) }
  let inverse = 1 / (squares / Double(row.count) + Double(epsilon)).squareRoot()
  for i in row.indices {
    let shift = bias.isEmpty ? 0 : Double(bias[i])
    output[i] = Float((Double(row[i]) - mean) * inverse * Double(weight[i]) + shift)
  }
  return (mean, inverse)
}

/// `layerNormBackward` as a plain loop in double precision, which defines it.
package func layerNormBackwardReference(
  row: Span<Float>, weight: Span<Float>, statistics: LayerNormStatistics, gradient: Span<Float>,
  accumulateInto accumulated: inout MutableSpan<Float>
) {
  let (mean, r) = (Double(statistics.mean), Double(statistics.inverseDeviation))
  var (sum, weighted) = (0.0, 0.0)
  for i in row.indices {
    let h = Double(weight[i]) * Double(gradient[i])
    sum += h
    weighted += h * (Double(row[i]) - mean) * r
  }
  let count = Double(row.count)
  for i in row.indices {
    let h = Double(weight[i]) * Double(gradient[i])
    let change = r * (h - sum / count - (Double(row[i]) - mean) * r * weighted / count)
    accumulated[i] = Float(Double(accumulated[i]) + change)
  }
}
