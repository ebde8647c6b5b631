import CKernels

/// The logarithm of the sum of the exponentials of a row.
///
/// - Parameters:
///   - row: Logits; not empty.
///   - set: The instructions to use.
/// - Returns: The logarithm; NaN if a logit is NaN or none is finite.
package func logSumExp(_ row: Span<Float>, on set: InstructionSet = .best) -> Float {
  let count = row.count
  precondition(count > 0, "an empty row")
  return Float(unsafe reading(row) { row in unsafe ck_log_sum_exp(set.rawValue, row, count) })
}

/// Turns the scaled scores of a row into probabilities; in a causal row only the first `validCount` take
/// part.
///
/// - Parameters:
///   - row: Scores; becomes probabilities, and zeros from `validCount` on.
///   - validCount: The number of scores that take part, at least 1.
///   - scale: Factor of the scores.
///   - set: The instructions to use.
/// - Returns: The logarithm of the sum of the exponentials of the scaled scores that take part.
@discardableResult
package func softmax(
  _ row: inout MutableSpan<Float>, validCount: Int, scale: Float = 1, on set: InstructionSet = .best
) -> Float {
  let count = row.count
  precondition(validCount > 0 && validCount <= count, "\(validCount) of \(count) scores")
  return Float(
    unsafe writing(&row) { row in unsafe ck_softmax(set.rawValue, row, count, validCount, scale) })
}

/// Turns the gradient of probabilities into the gradient of the scores: `scale * p * (g - sum(p * g))`.
///
/// - Parameters:
///   - probabilities: The row that `softmax` made.
///   - gradient: The gradient of the probabilities, same length; becomes that of the unscaled scores.
///   - scale: The factor given to `softmax`.
///   - set: The instructions to use.
package func softmaxBackward(
  probabilities: Span<Float>, gradient: inout MutableSpan<Float>, scale: Float = 1,
  on set: InstructionSet = .best
) {
  let count = probabilities.count
  precondition(gradient.count == count, "\(count) probabilities, \(gradient.count) gradients")
  unsafe writing(&gradient) { gradient in
    unsafe reading(probabilities) { probabilities in
      unsafe ck_softmax_backward(set.rawValue, probabilities, gradient, count, scale)
    }
  }
}

/// `logSumExp` as a plain loop in double precision, which defines it.
package func logSumExpReference(_ row: Span<Float>, scale: Float = 1) -> Double {
  var greatest = -Double.infinity
  for i in row.indices { greatest = max(greatest, Double(row[i] * scale)) }
  var sum = 0.0
  for i in row.indices { sum += exactExponential(Double(row[i] * scale) - greatest) }
  return greatest + exactLogarithm(sum)
}

/// `softmax` as a plain loop in double precision, which defines it.
package func softmaxReference(_ row: inout MutableSpan<Float>, validCount: Int, scale: Float) -> Double {
  let logSum = logSumExpReference(row.span.extracting(0..<validCount), scale: scale)
  for i in row.indices {
    row[i] = i < validCount ? Float(exactExponential(Double(row[i] * scale) - logSum)) : 0
  }
  return logSum
}

/// `softmaxBackward` as a plain loop in double precision, which defines it.
package func softmaxBackwardReference(
  probabilities: Span<Float>, gradient: inout MutableSpan<Float>, scale: Float
) {
  var mean = 0.0
  for i in gradient.indices { mean += Double(probabilities[i]) * Double(gradient[i]) }
  for i in gradient.indices {
    gradient[i] = Float(Double(scale) * Double(probabilities[i]) * (Double(gradient[i]) - mean))
  }
}
