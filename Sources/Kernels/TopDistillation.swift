/// Which tokens a divergence from a teacher compares, and at which temperature.
package struct DivergenceShape: Sendable, Equatable {
  /// The number of tokens to compare, the teacher's likeliest; nil means all.
  package let tokenCount: Int?
  /// The temperature; logits are divided by it.
  package let temperature: Double

  /// Chooses at least two tokens, or all, and a temperature above 0.
  package init(tokenCount: Int? = nil, temperature: Double = 1) {
    precondition(
      tokenCount ?? 2 >= 2 && temperature > 0, "\(tokenCount ?? 0) tokens, temperature \(temperature)")
    self.tokenCount = tokenCount
    self.temperature = temperature
  }

  /// Whether all tokens are compared, at temperature 1.
  package var isPlain: Bool { tokenCount == nil && temperature == 1 }
}

/// Computes the losses of one row of logits against a token, and against a teacher on its likeliest tokens.
///
/// Let `p` and `q` be the softmax of the teacher's and of the student's logits of these tokens, divided by
/// the temperature `T`. The divergence is `T² · KL(p, q)`, its gradient `T · (q - p)`.
///
/// - Parameters:
///   - logits: A row of logits; becomes `labelScale · (softmax - onehot(target))` plus
///     `teacherScale · T · (q - p)`.
///   - teacher: The teacher's logits, same length; of equal logits the first are taken.
///   - target: The index of the token that follows in the text.
///   - shape: The tokens and the temperature.
///   - labelScale: Factor of the cross entropy's gradient.
///   - teacherScale: Factor of the divergence's gradient.
/// - Returns: Both losses, NaN if a logit is not finite.
/// - Source: Distilling the Knowledge in a Neural Network, arXiv:1503.02531, section 2, for `T²`.
package func distillTopRow(
  logits: inout MutableSpan<Float>, teacher: Span<Float>, target: Int, _ shape: DivergenceShape,
  labelScale: Float, teacherScale: Float
) -> RowLosses {
  precondition(
    teacher.count == logits.count, "\(teacher.count) logits of the teacher, \(logits.count) of the student")
  let top = indicesOfLargest(min(shape.tokenCount ?? teacher.count, teacher.count), of: teacher)
  let p = logSoftmax(top.map { Double(teacher[$0]) / shape.temperature })
  let q = logSoftmax(top.map { Double(logits[$0]) / shape.temperature })
  let crossEntropy = crossEntropyRow(logits: &logits, target: target, gradientScale: labelScale)
  var divergence = 0.0
  let factor = Double(teacherScale) * shape.temperature
  for (i, index) in top.enumerated() {
    let (taught, own) = (exactExponential(p[i]), exactExponential(q[i]))
    divergence += taught * (p[i] - q[i])
    logits[index] += Float(factor * (own - taught))
  }
  return RowLosses(
    crossEntropy: crossEntropy, divergence: shape.temperature * shape.temperature * divergence)
}

/// The logarithms of a softmax.
private func logSoftmax(_ logits: [Double]) -> [Double] {
  let largest = logits.max() ?? 0
  let sum = logits.reduce(0) { $0 + exactExponential($1 - largest) }
  let logSum = largest + exactLogarithm(sum)
  return logits.map { $0 - logSum }
}

/// Finds the largest values, in no particular order; of equal values the first are taken.
///
/// - Parameters:
///   - count: How many to find, at most the number of values.
///   - values: The values; a NaN counts as larger than any number.
/// - Returns: Their indices.
package func indicesOfLargest(_ count: Int, of values: Span<Float>) -> [Int] {
  precondition((0...values.count).contains(count), "\(count) of \(values.count) values")
  // Counts values by the upper half of their keys. Values above a certain half are all taken, and only values
  // at it are sorted.
  var tally = [Int32](repeating: 0, count: 1 << 16)
  for i in values.indices { tally[Int(orderedKey(values[i]) >> 16)] += 1 }
  var (edge, within) = (tally.count, 0)
  while within < count {
    edge -= 1
    within += Int(tally[edge])
  }
  var chosen: [Int] = []
  var atEdge: [(key: UInt32, index: Int)] = []
  for i in values.indices {
    let key = orderedKey(values[i])
    if Int(key >> 16) > edge { chosen.append(i) }
    if Int(key >> 16) == edge { atEdge.append((key, i)) }
  }
  atEdge.sort { ($1.key, $0.index) < ($0.key, $1.index) }
  return chosen + atEdge.prefix(count - chosen.count).map(\.index)
}

/// A number that orders like the value.
private func orderedKey(_ value: Float) -> UInt32 {
  let bits = (value == 0 ? 0 : value).bitPattern
  return bits >> 31 == 0 ? bits | 0x8000_0000 : ~bits
}
