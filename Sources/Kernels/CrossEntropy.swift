import CKernels

/// Computes the negative log likelihood of one token and replaces the logits with its gradient.
///
/// - Parameters:
///   - logits: A row of logits; becomes `(softmax - onehot(target)) * gradientScale`.
///   - target: The index of the token that follows in the text.
///   - gradientScale: Factor of the gradient.
///   - set: The instructions to use.
/// - Returns: `-log p(target)`, NaN if a logit is.
package func crossEntropyRow(
  logits: inout MutableSpan<Float>, target: Int, gradientScale: Float, on set: InstructionSet = .best
) -> Double {
  let count = logits.count
  precondition(target >= 0 && target < count, "target \(target) of \(count) logits")
  return unsafe writing(&logits) { logits in
    unsafe ck_cross_entropy(set.rawValue, logits, count, target, gradientScale)
  }
}

/// `crossEntropyRow` as a plain loop in double precision, which defines it.
package func crossEntropyRowReference(
  logits: inout MutableSpan<Float>, target: Int, gradientScale: Float
) -> Double {
  let logit = Double(logits[target])
  let logSum = logSumExpReference(logits.span)
  for i in logits.indices {
    let probability = exactExponential(Double(logits[i]) - logSum)
    logits[i] = Float((probability - (i == target ? 1 : 0)) * Double(gradientScale))
  }
  return logSum - logit
}
