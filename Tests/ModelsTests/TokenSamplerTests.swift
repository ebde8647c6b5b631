import Models
import TestSupport
import Testing

@Suite struct TokenSamplerTests {
  private static let logits: [Float] = [0.5, 2, -1, 1.5, 2, 0]

  /// How often each token comes in many draws.
  private func counts(_ options: SamplingOptions, draws: Int = 20_000) throws -> [Int] {
    var sampler = TokenSampler(options)
    var counts = [Int](repeating: 0, count: Self.logits.count)
    for _ in 0..<draws { counts[Int(try sampler.next(Self.logits.span))] += 1 }
    return counts
  }

  @Test func `temperature 0 takes the first of the most probable tokens`() throws {
    var sampler = TokenSampler(SamplingOptions(temperature: 0))
    #expect(try sampler.next(Self.logits.span) == 1)
  }

  @Test(arguments: [0.5, 1, 2])
  func `tokens come as often as their probability says`(temperature: Double) throws {
    let draws = 20_000
    let counts = try counts(SamplingOptions(temperature: temperature, seed: 5), draws: draws)
    let weights = Self.logits.map { exponential(Double($0) / temperature) }
    let total = weights.reduce(0, +)
    for (count, weight) in zip(counts, weights) {
      let p = weight / total
      // Five standard deviations of a binomial count.
      #expect(abs(Double(count) - Double(draws) * p) < 5 * (Double(draws) * p * (1 - p)).squareRoot() + 1)
    }
  }

  private func exponential(_ x: Double) -> Double {
    var (term, sum) = (1.0, 1.0)
    for n in 1..<60 {
      term *= x / Double(n)
      sum += term
    }
    return sum
  }

  @Test(arguments: [
    (1, [1]), (2, [1, 4]), (3, [1, 3, 4]), (6, [0, 1, 2, 3, 4, 5]), (9, [0, 1, 2, 3, 4, 5]),
  ])
  func `only the most probable tokens take part`(topK: Int, expected: [Int]) throws {
    let counts = try counts(SamplingOptions(topK: topK, seed: 6))
    #expect(counts.indices.filter { counts[$0] > 0 } == expected)
  }

  /// The probabilities are 0.32, 0.32, 0.20, 0.07, 0.04 and 0.02 in their order.
  @Test(arguments: [(0.3, [1]), (0.5, [1, 4]), (0.7, [1, 3, 4]), (0.87, [0, 1, 3, 4])])
  func `only the fewest tokens with a share take part`(topP: Double, expected: [Int]) throws {
    let counts = try counts(SamplingOptions(topP: topP, seed: 7))
    #expect(counts.indices.filter { counts[$0] > 0 } == expected)
  }

  @Test func `a share is one of the tokens that the number leaves`() throws {
    let counts = try counts(SamplingOptions(topK: 2, topP: 0.5, seed: 8))
    #expect(counts.indices.filter { counts[$0] > 0 } == [1])
  }

  @Test func `the most probable of many tokens are found`() throws {
    var random = SplitMix64(seed: 9)
    let logits = (0..<5_000).map { _ in Float.random(in: -4...4, using: &random) }
    let best = Set(logits.indices.sorted { logits[$0] > logits[$1] }.prefix(7))
    var sampler = TokenSampler(SamplingOptions(temperature: 100, topK: 7, seed: 10))
    var seen: Set<Int> = []
    for _ in 0..<500 { seen.insert(Int(try sampler.next(logits.span))) }
    #expect(seen == best)
  }

  @Test(arguments: [0, 1]) func `logits without a distribution are refused`(temperature: Double) {
    var sampler = TokenSampler(SamplingOptions(temperature: temperature))
    for logits in [[Float.nan, 1], [.infinity, 1], [-.infinity, -.infinity]] {
      #expect(throws: ModelError.notFinite("the distribution of the next token")) {
        try sampler.next(logits.span)
      }
    }
  }

  @Test func `streams and seeds have numbers of their own`() {
    var values: Set<Double> = []
    for seed in [0, 1, 2, UInt64.max] {
      for stream in 0..<4 {
        var random = RandomStream(seed: seed, stream: stream)
        for _ in 0..<4 {
          let value = random.uniform()
          #expect((0..<1).contains(value))
          values.insert(value)
        }
      }
    }
    #expect(values.count == 64)
  }
}
