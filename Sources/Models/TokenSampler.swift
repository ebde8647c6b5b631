import Kernels

/// How the next token is chosen from logits.
public struct SamplingOptions: Sendable, Equatable {
  /// The valid temperatures besides 0.
  public static let temperatures = 0.01...100.0

  /// The divisor of the logits; 0 chooses the most probable token.
  public var temperature: Double
  /// The number of most probable tokens to choose from, at least 1; nil for all.
  public var topK: Int?
  /// The total probability of the most probable tokens to choose from, above 0 and at most 1.
  public var topP: Double
  /// The seed of all random numbers.
  public var seed: UInt64

  /// Creates options; the defaults sample from the model's own distribution.
  public init(temperature: Double = 1, topK: Int? = nil, topP: Double = 1, seed: UInt64 = 1) {
    self.temperature = temperature
    self.topK = topK
    self.topP = topP
    self.seed = seed
  }
}

/// Chooses the tokens of one sequence with its own random numbers.
///
/// Applies the temperature first, then keeps the `topK` most probable tokens, then the fewest of these that
/// have `topP` of their probability. Among equally probable tokens the smaller id comes first.
///
/// Source: the order of Hugging Face transformers; nucleus sampling, arXiv:1904.09751.
package struct TokenSampler: Sendable {
  private let options: SamplingOptions
  private var random: RandomStream

  /// Starts a sequence.
  ///
  /// - Parameters:
  ///   - options: How to choose.
  ///   - stream: The number of the sequence; each number gives other random numbers.
  package init(_ options: SamplingOptions, stream: Int = 0) {
    self.options = options
    random = RandomStream(seed: options.seed, stream: stream)
  }

  /// Chooses a token.
  ///
  /// - Parameter logits: One per token of the vocabulary.
  /// - Returns: The id of the token.
  /// - Throws: `ModelError.notFinite` when the logits give no distribution.
  package mutating func next(_ logits: Span<Float>) throws -> Int32 {
    guard options.temperature > 0 else {
      guard logSumExp(logits).isFinite else { throw Self.notFinite }
      return Int32(argMax(logits))
    }
    var probabilities = logits.indices.map { logits[$0] }
    var span = probabilities.mutableSpan
    let sum = softmax(&span, validCount: logits.count, scale: Float(1 / options.temperature))
    guard sum.isFinite else { throw Self.notFinite }
    if let candidates = candidates(of: probabilities) { return Int32(draw(probabilities, from: candidates)) }
    return Int32(draw(probabilities, from: probabilities.indices))
  }

  private static let notFinite = ModelError.notFinite("the distribution of the next token")

  /// Returns the tokens to choose from, or nil for all.
  private func candidates(of probabilities: [Float]) -> [Int]? {
    guard options.topK != nil || options.topP < 1 else { return nil }
    let least = leastProbability(of: probabilities)
    var kept = probabilities.indices.filter { probabilities[$0] >= least }
    kept.sort { (probabilities[$0], $1) > (probabilities[$1], $0) }
    if let topK = options.topK { kept.removeLast(max(kept.count - topK, 0)) }
    guard options.topP < 1 else { return kept }
    // Relative to all tokens, not to those above the bound, unless `topK` limits their number.
    let whole = options.topK == nil ? probabilities : kept.map { probabilities[$0] }
    let share = options.topP * whole.reduce(0) { $0 + Double($1) }
    var sum = 0.0
    let count = kept.firstIndex { index in
      sum += Double(probabilities[index])
      return sum >= share
    }
    return Array(kept.prefix((count ?? kept.count - 1) + 1))
  }

  /// Returns a probability below that of every eligible token, so that only a few tokens need sorting.
  private func leastProbability(of probabilities: [Float]) -> Float {
    guard let topK = options.topK else {
      // The tokens below it together have less than the probability that topP leaves out.
      return Float((1 - options.topP) / Double(probabilities.count))
    }
    // Each of topK parts holds a token at least as probable as the smallest of the parts' maxima.
    let part = probabilities.count / topK
    guard part > 1 else { return 0 }
    return (0..<topK).reduce(Float.infinity) { least, index in
      min(least, probabilities[index * part..<(index + 1) * part].max() ?? 0)
    }
  }

  private mutating func draw(_ probabilities: [Float], from indices: some BidirectionalCollection<Int>) -> Int
  {
    let total = indices.reduce(0) { $0 + Double(probabilities[$1]) }
    var left = random.uniform() * total
    for index in indices {
      left -= Double(probabilities[index])
      if left < 0 { return index }
    }
    // The last token with any probability gets what rounding left over.
    return indices.last { probabilities[$0] > 0 } ?? 0
  }
}
