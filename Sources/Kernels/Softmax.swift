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
///   - sink: One more score, not scaled, that takes its share and has no place in the row; minus infinity for
///     none.
///   - set: The instructions to use.
/// - Returns: The logarithm of the sum of the exponentials of the scaled scores that take part, the sink
///   included.
@discardableResult
package func softmax(
  _ row: inout MutableSpan<Float>, validCount: Int, scale: Float = 1, sink: Float = -.infinity,
  on set: InstructionSet = .best
) -> Float {
  let count = row.count
  precondition(validCount > 0 && validCount <= count, "\(validCount) of \(count) scores")
  return Float(
    unsafe writing(&row) { row in unsafe ck_softmax(set.rawValue, row, count, validCount, scale, sink) })
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

/// Bounds scores: they become `cap * tanh(scale * score / cap)`.
///
/// - Parameters:
///   - row: The scores; overwritten.
///   - scale: Factor of the scores.
///   - cap: The bound; positive.
///   - set: The instructions to use.
/// - Source: Gemma 2, arXiv:2408.00118, section 2.
package func capScores(
  _ row: inout MutableSpan<Float>, scale: Float = 1, cap: Float, on set: InstructionSet = .best
) {
  let count = row.count
  unsafe writing(&row) { row in unsafe ck_cap_scores(set.rawValue, row, count, scale, cap) }
}

/// Multiplies the gradient of capped scores by the slope of the cap, `1 - (score / cap)^2`.
///
/// The factor `scale` of `capScores` is not applied.
///
/// - Parameters:
///   - scores: The scores that `capScores` made.
///   - cap: As given to `capScores`.
///   - gradient: Same length; the gradient of the scores before the cap afterwards.
///   - set: The instructions to use.
package func capScoresBackward(
  scores: Span<Float>, cap: Float, gradient: inout MutableSpan<Float>, on set: InstructionSet = .best
) {
  let count = scores.count
  precondition(gradient.count == count, "\(count) scores, \(gradient.count) gradients")
  unsafe writing(&gradient) { gradient in
    unsafe reading(scores) { scores in
      unsafe ck_cap_scores_backward(set.rawValue, scores, count, cap, gradient)
    }
  }
}

/// `capScores` as a plain loop in double precision, which defines it.
package func capScoresReference(_ row: inout MutableSpan<Float>, scale: Float, cap: Float) {
  for i in row.indices {
    row[i] = Float(Double(cap) * exactHyperbolicTangent(Double(row[i]) * Double(scale) / Double(cap)))
  }
}

/// `logSumExp` as a plain loop in double precision, which defines it.
package func logSumExpReference(
  _ row: Span<Float>, scale: Float = 1, sink: Float = -.infinity
) -> Double {
  var greatest = Double(sink)
  for i in row.indices { greatest = max(greatest, Double(row[i] * scale)) }
  var sum = exactExponential(Double(sink) - greatest)
  for i in row.indices { sum += exactExponential(Double(row[i] * scale) - greatest) }
  return greatest + exactLogarithm(sum)
}

/// `softmax` as a plain loop in double precision, which defines it.
package func softmaxReference(
  _ row: inout MutableSpan<Float>, validCount: Int, scale: Float, sink: Float = -.infinity
) -> Double {
  let logSum = logSumExpReference(row.span.extracting(0..<validCount), scale: scale, sink: sink)
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
