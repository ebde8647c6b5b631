import CKernels

/// How one row of logits differs from another.
package struct RowDivergence: Sendable {
  /// The Kullback–Leibler divergence of the candidate from the reference, in nats.
  ///
  /// Rounding may leave it a little below zero; it is exactly zero for equal rows.
  package var kl: Double
  /// The greatest absolute difference of two logits; NaN if a difference is NaN.
  package var maxAbsoluteDifference: Float
  /// Whether the greatest logit has the same index in both rows; of equal logits the first counts.
  package var sameTop: Bool
  /// The logarithm of the sum of the reference's exponentials.
  package var referenceLogSumExp: Double
  /// The logarithm of the sum of the candidate's exponentials.
  package var candidateLogSumExp: Double
}

/// Compares the distributions of two rows of logits; terms are summed in double precision.
///
/// - Parameters:
///   - reference: Logits; not empty.
///   - candidate: Logits, same length.
///   - set: The instructions to use.
/// - Returns: The divergence; NaN if a logit is not finite.
package func klDivergenceRow(
  reference: Span<Float>, candidate: Span<Float>, on set: InstructionSet = .best
) -> RowDivergence {
  let count = reference.count
  precondition(count > 0 && candidate.count == count, "\(count) and \(candidate.count) logits")
  let divergence = unsafe reading(reference, candidate) { reference, candidate in
    unsafe ck_kl_divergence(set.rawValue, reference, candidate, count)
  }
  return RowDivergence(
    kl: divergence.kl, maxAbsoluteDifference: divergence.max_absolute_difference,
    sameTop: argMax(reference, on: set) == argMax(candidate, on: set),
    referenceLogSumExp: divergence.reference_log_sum_exp,
    candidateLogSumExp: divergence.candidate_log_sum_exp)
}

/// The lowest index of the greatest value, ignoring NaNs; 0 if all values are NaN.
///
/// - Parameters:
///   - row: Values; not empty.
///   - set: The instructions to use.
/// - Returns: The index.
package func argMax(_ row: Span<Float>, on set: InstructionSet = .best) -> Int {
  let count = row.count
  precondition(count > 0, "an empty row")
  return unsafe reading(row) { row in unsafe ck_arg_max(set.rawValue, row, count) }
}

/// `klDivergenceRow` as a plain loop in double precision, which defines it.
package func klDivergenceRowReference(reference: Span<Float>, candidate: Span<Float>) -> RowDivergence {
  let referenceLogSum = logSumExpReference(reference)
  let candidateLogSum = logSumExpReference(candidate)
  var (kl, widest) = (0.0, Float(0))
  for i in reference.indices {
    let logReference = Double(reference[i]) - referenceLogSum
    kl += exactExponential(logReference) * (logReference - (Double(candidate[i]) - candidateLogSum))
    widest = max(widest, abs(reference[i] - candidate[i]))
  }
  return RowDivergence(
    kl: kl, maxAbsoluteDifference: widest,
    sameTop: argMaxReference(reference) == argMaxReference(candidate),
    referenceLogSumExp: referenceLogSum, candidateLogSumExp: candidateLogSum)
}

/// `argMax` as a plain loop, which defines it.
package func argMaxReference(_ row: Span<Float>) -> Int {
  var best: Int?
  for i in row.indices where !row[i].isNaN {
    if best == nil || row[i] > row[best ?? 0] { best = i }
  }
  return best ?? 0
}
