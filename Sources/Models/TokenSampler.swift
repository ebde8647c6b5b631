import Kernels

/// How the next token is chosen from logits.
public struct SamplingOptions: Sendable, Equatable {
  /// The temperatures that may be asked for beside 0.
  public static let temperatures = 0.01...100.0

  /// What logits are divided by; 0 takes the most probable token.
  public var temperature: Double
  /// The most probable tokens that take part, at least 1; nil lets all of them.
  public var topK: Int?
  /// The share of probability that the most probable tokens taking part must have, above 0 and at most 1.
  public var topP: Double
  /// The seed of all random numbers.
  public var seed: UInt64

  /// Chooses a way; the defaults sample from the model's own distribution.
  public init(temperature: Double = 1, topK: Int? = nil, topP: Double = 1, seed: UInt64 = 1) {
    self.temperature = temperature
    self.topK = topK
    self.topP = topP
    self.seed = seed
  }
}

/// Chooses the tokens of one sequence, with random numbers of its own.
///
/// First the temperature, then the most probable `topK`, then of these the fewest that have `topP` of their
/// probability; of equally probable tokens the one with the smaller number comes first.
///
/// Source: the order of Hugging Face transformers; nucleus sampling, arXiv:1904.09751.
package struct TokenSampler: Sendable {
  private let options: SamplingOptions
  private var random: RandomStream

  /// Starts a sequence.
  ///
  /// - Parameters:
  ///   - options: How to choose.
  ///   - stream: The number of the sequence: others have other random numbers.
  package init(_ options: SamplingOptions, stream: Int = 0) {
    self.options = options
    random = RandomStream(seed: options.seed, stream: stream)
  }

  /// Chooses a token.
  ///
  /// - Parameter logits: One for each token.
  /// - Returns: The number of the token.
  /// - Throws: `ModelError.notFinite` when there is no distribution.
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

  /// The tokens that may be chosen, or nil for all.
  private func candidates(of probabilities: [Float]) -> [Int]? {
    guard options.topK != nil || options.topP < 1 else { return nil }
    let least = leastProbability(of: probabilities)
    var kept = probabilities.indices.filter { probabilities[$0] >= least }
    kept.sort { (probabilities[$0], $1) > (probabilities[$1], $0) }
    if let topK = options.topK { kept.removeLast(max(kept.count - topK, 0)) }
    guard options.topP < 1 else { return kept }
    // Of all tokens, not of those above the bound, unless their number is limited.
    let whole = options.topK == nil ? probabilities : kept.map { probabilities[$0] }
    let share = options.topP * whole.reduce(0) { $0 + Double($1) }
    var sum = 0.0
    let count = kept.firstIndex { index in
      sum += Double(probabilities[index])
      return sum >= share
    }
    return Array(kept.prefix((count ?? kept.count - 1) + 1))
  }

  /// A bound below every token that may be chosen, so that only few need to be sorted.
  private func leastProbability(of probabilities: [Float]) -> Float {
    guard let topK = options.topK else {
      // All tokens below it have less than what topP leaves out.
      return Float((1 - options.topP) / Double(probabilities.count))
    }
    // Each of topK parts has a token that is at least as probable as the smallest of their maxima.
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
    // What rounding left over belongs to the last token that has any probability.
    return indices.last { probabilities[$0] > 0 } ?? 0
  }
}
