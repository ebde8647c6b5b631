import CKernels

/// Divides a row by its root mean square and multiplies it by weights: `x * r * weight`.
///
/// - Parameters:
///   - row: `[columns]`, not empty.
///   - weight: `[columns]`.
///   - epsilon: Added to the mean square.
///   - output: `[columns]`.
///   - set: The instructions to use.
/// - Returns: `r`, one over the root mean square, which the backward step needs.
@discardableResult
package func rmsNorm(
  _ row: Span<Float>, weight: Span<Float>, epsilon: Float, into output: inout MutableSpan<Float>,
  on set: InstructionSet = .best
) -> Float {
  let count = row.count
  precondition(
    count > 0 && weight.count == count && output.count == count,
    "\(count), \(weight.count), \(output.count) values")
  return unsafe writing(&output) { output in
    unsafe reading(row, weight) { row, weight in
      unsafe ck_rms_norm(set.rawValue, row, weight, count, epsilon, output)
    }
  }
}

/// Adds the gradient of a row that went through `rmsNorm`: `r * w * g - x * r^3 / n * sum(w * g * x)`.
///
/// - Parameters:
///   - row: `[columns]`, as given to `rmsNorm`.
///   - weight: `[columns]`, as given to `rmsNorm`.
///   - inverseRMS: The result of `rmsNorm`.
///   - gradient: `[columns]`, the gradient of the output.
///   - accumulated: `[columns]`; the gradient of the row is added to it.
///   - set: The instructions to use.
package func rmsNormBackward(
  row: Span<Float>, weight: Span<Float>, inverseRMS: Float, gradient: Span<Float>,
  accumulateInto accumulated: inout MutableSpan<Float>, on set: InstructionSet = .best
) {
  let count = row.count
  precondition(
    weight.count == count && gradient.count == count && accumulated.count == count,
    "\(count), \(weight.count), \(gradient.count), \(accumulated.count) values")
  unsafe writing(&accumulated) { accumulated in
    unsafe reading(row, weight, gradient) { row, weight, gradient in
      unsafe ck_rms_norm_backward(set.rawValue, row, weight, inverseRMS, gradient, count, accumulated)
    }
  }
}

/// `rmsNorm` as a plain loop in double precision, which defines it.
package func rmsNormReference(
  _ row: Span<Float>, weight: Span<Float>, epsilon: Float, into output: inout MutableSpan<Float>
) -> Double {
  var squares = 0.0
  for i in row.indices { squares += Double(row[i]) * Double(row[i]) }
  let inverse = 1 / (squares / Double(row.count) + Double(epsilon)).squareRoot()
  for i in row.indices { output[i] = Float(Double(row[i]) * inverse * Double(weight[i])) }
  return inverse
}

/// `rmsNormBackward` as a plain loop in double precision, which defines it.
package func rmsNormBackwardReference(
  row: Span<Float>, weight: Span<Float>, inverseRMS: Float, gradient: Span<Float>,
  accumulateInto accumulated: inout MutableSpan<Float>
) {
  let r = Double(inverseRMS)
  var sum = 0.0
  for i in row.indices { sum += Double(weight[i]) * Double(gradient[i]) * Double(row[i]) }
  let factor = r * r * r / Double(row.count) * sum
  for i in row.indices {
    let change = r * Double(weight[i]) * Double(gradient[i]) - Double(row[i]) * factor
    accumulated[i] = Float(Double(accumulated[i]) + change)
  }
}
