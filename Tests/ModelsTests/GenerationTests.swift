import Checkpoints
import Kernels
import Models
import TestSupport
import Testing

@Suite(.serialized) struct GenerationTests {
  private static let beginToken: Int32 = 0
  private static let endToken: Int32 = 1

  private func fixture() throws -> Transformer {
    try Transformer(Checkpoint.open(path: Fixtures.path("tiny-llama")))
  }

  @Test func `greedy continuations are those of transformers`() throws {
    let (model, golden) = (try fixture(), try GoldenModel.json("generation.json"))
    let tokenizer = try Tokenizer(of: Checkpoint.open(path: Fixtures.path("tiny-llama")))
    let cases = try #require(golden["cases"]?.array)
    #expect(cases.count == 3)
    for item in cases {
      let prompt = tokenizer.encode(try #require(item["prompt"]?.string))
      #expect(prompt.map { .integer(Int($0)) } == item["prompt_tokens"]?.array)
      let generation = try model.generate(
        from: prompt, maxTokens: try #require(golden["max_tokens"]?.integer),
        sampling: SamplingOptions(temperature: 0), endTokens: [Self.endToken])
      #expect(generation.tokens.map { .integer(Int($0)) } == item["tokens"]?.array)
      #expect(generation.finishReason == .length)
      #expect(tokenizer.decode(generation.tokens, skipSpecialTokens: true) == item["text"]?.string)
    }
  }

  @Test func `a token that ends the text is not part of it`() throws {
    let model = try fixture()
    let greedy = SamplingOptions(temperature: 0)
    let long = try model.generate(from: [297], maxTokens: 12, sampling: greedy, endTokens: [])
    let end = try #require(long.tokens.last)
    let first = try #require(long.tokens.firstIndex(of: end))
    let short = try model.generate(from: [297], maxTokens: 12, sampling: greedy, endTokens: [end])
    #expect(short.tokens == Array(long.tokens.prefix(first)))
    #expect(short.finishReason == .stop)
  }

  @Test func `tells of each token as it comes`() throws {
    var told: [Int32] = []
    var beganAfter = -1
    let generation = try fixture().generate(
      from: [297, 260], maxTokens: 5, sampling: SamplingOptions(), endTokens: [],
      began: { beganAfter = told.count }, wrote: { told.append($0) })
    #expect(told == generation.tokens && told.count == 5)
    #expect(beganAfter == 0)
  }

  @Test func `a sequence beyond the context is refused`() throws {
    let model = try fixture()
    #expect(throws: ModelError.contextTooLong(tokens: 513, limit: 512)) {
      try model.generate(from: [1, 2], maxTokens: 511, sampling: SamplingOptions(), endTokens: [])
    }
    #expect(throws: ModelError.contextTooLong(tokens: 513, limit: 512)) {
      try model.samples(1, shape(length: 513, .stops), sampling: SamplingOptions())
    }
  }

  private func shape(length: Int, _ ending: SampleShape.Ending, endTokens: [Int32] = [endToken])
    -> SampleShape
  {
    SampleShape(beginToken: Self.beginToken, endTokens: endTokens, length: length, ending: ending)
  }

  @Test func `samples depend on the seed and their number only`() throws {
    let model = try fixture()
    let sampling = SamplingOptions(topK: 40, topP: 0.95, seed: 11)
    let expected = try model.samples(9, shape(length: 24, .goesOn), sampling: sampling, atOnce: 9)
    #expect(Set(expected).count == 9)
    #expect(expected.allSatisfy { $0.count == 24 && $0[0] == Self.beginToken })
    for (threads, atOnce) in [(1, 1), (2, 4), (3, 9)] {
      let samples = try ThreadLimit.with(threads) {
        try model.samples(9, shape(length: 24, .goesOn), sampling: sampling, atOnce: atOnce)
      }
      #expect(samples == expected)
    }
    let other = try model.samples(
      2, shape(length: 24, .goesOn), sampling: SamplingOptions(topK: 40, topP: 0.95, seed: 12))
    #expect(other[0] != expected[0])
  }

  @Test func `a sample ends with its text, or another text begins in it`() throws {
    let model = try fixture()
    // Tokens that come often enough to end texts here.
    let endTokens: [Int32] = [13, 260, 269]
    let sampling = SamplingOptions(seed: 3)
    let ended = try model.samples(12, shape(length: 40, .stops, endTokens: endTokens), sampling: sampling)
    #expect(ended.contains { $0.count < 40 })
    for sample in ended {
      #expect(sample.dropLast().allSatisfy { !endTokens.contains($0) })
      #expect(sample.count == 40 || endTokens.contains(sample[sample.count - 1]))
    }
    let going = try model.samples(12, shape(length: 40, .goesOn, endTokens: endTokens), sampling: sampling)
    for (sample, prefix) in zip(going, ended) {
      #expect(sample.count == 40 && sample.starts(with: prefix))
      for (token, following) in zip(sample, sample.dropFirst()) where endTokens.contains(token) {
        #expect(following == Self.beginToken)
      }
    }
  }

  @Test(arguments: [SampleShape.Ending.stops, .goesOn])
  func `the progress of samples grows to all of their tokens`(ending: SampleShape.Ending) throws {
    var seen: [Progress] = []
    _ = try fixture().samples(
      6, shape(length: 20, ending, endTokens: [13, 260, 269]), sampling: SamplingOptions(seed: 3), atOnce: 4
    ) { seen.append($0) }
    let completed = seen.map(\.completed)
    #expect(completed.first == 4 && completed.last == 6 * 19)
    #expect(zip(completed, completed.dropFirst()).allSatisfy { $0 < $1 })
    #expect(seen.allSatisfy { $0.total == 6 * 19 } && seen.last?.detail == "6 of 6 texts")
  }
}
