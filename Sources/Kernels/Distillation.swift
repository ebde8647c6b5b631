import CKernels

/// The losses of one row of logits.
package struct RowLosses: Sendable {
  /// The negative log likelihood of the token that follows in the text, in nats.
  package var crossEntropy: Double
  /// The Kullback–Leibler divergence from the teacher's distribution, in nats; 0 without a teacher.
  package var divergence: Double

  package init(crossEntropy: Double, divergence: Double) {
    self.crossEntropy = crossEntropy
    self.divergence = divergence
  }
}

/// Computes the losses of one row of logits against a token and a teacher, and replaces the logits with their
/// gradient.
///
/// - Parameters:
///   - logits: A row of logits; becomes
///     `labelScale · (softmax - onehot(target)) + teacherScale · (softmax - softmax(teacher))`.
///   - teacher: The teacher's logits, same length.
///   - target: The index of the token that follows in the text.
///   - labelScale: Factor of the cross entropy's gradient.
///   - teacherScale: Factor of the divergence's gradient.
///   - set: The instructions to use.
/// - Returns: Both losses, NaN if a logit is not finite.
/// - Source: Distilling the Knowledge in a Neural Network, arXiv:1503.02531, at temperature 1.
package func distillRow(
  logits: inout MutableSpan<Float>, teacher: Span<Float>, target: Int, labelScale: Float, teacherScale: Float,
  on set: InstructionSet = .best
) -> RowLosses {
  let count = logits.count
  precondition(target >= 0 && target < count, "target \(target) of \(count) logits")
  precondition(teacher.count == count, "\(teacher.count) logits of the teacher, \(count) of the student")
  let losses = unsafe writing(&logits) { logits in
    unsafe reading(teacher) { teacher in
      unsafe ck_distill(set.rawValue, logits, teacher, count, target, labelScale, teacherScale)
    }
  }
  return RowLosses(crossEntropy: losses.cross_entropy, divergence: losses.kl)
}

/// `distillRow` as a plain loop in double precision, which defines it.
package func distillRowReference(
  logits: inout MutableSpan<Float>, teacher: Span<Float>, target: Int, labelScale: Float, teacherScale: Float
) -> RowLosses {
  let divergence = klDivergenceRowReference(reference: teacher, candidate: logits.span)
  let (logSum, teacherLogSum) = (divergence.candidateLogSumExp, divergence.referenceLogSumExp)
  let crossEntropy = logSum - Double(logits[target])
  for i in logits.indices {
    let probability = exactExponential(Double(logits[i]) - logSum)
    let label = Double(labelScale) * (probability - (i == target ? 1 : 0))
    let taught = Double(teacherScale) * (probability - exactExponential(Double(teacher[i]) - teacherLogSum))
    logits[i] = Float(label + taught)
  }
  return RowLosses(crossEntropy: crossEntropy, divergence: divergence.kl)
}
