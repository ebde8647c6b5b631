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

  /// Codes of 8 bits and activations of int8 are 0.4 to 0.7 % off in each product, one after the other.
  private static let roundedTolerance = 0.05

  @Test func `rounded products have nearly the logits of f32`() throws {
    let golden = try Checkpoint.open(path: Fixtures.path("golden/gradients-dense.safetensors"))
    let model = try GoldenModel.student(adaptersFrom: golden, kind: .dense)
    var rounded = model
    rounded.round(for: .int8)
    let tokens: [Int32] = [297, 260, 336, 380, 320, 670, 13, 632]
    var exact = Decoder(model, capacity: 8)
    var decoder = Decoder(rounded, capacity: 8, products: .int8)
    var pairs = [(try exact.read([297, 260]), try decoder.read([297, 260]))]
    for token in tokens.dropFirst(2) {
      pairs.append((try exact.append([token], slots: [0]), try decoder.append([token], slots: [0])))
    }
    for (expected, actual) in pairs {
      #expect((1e-5..<Self.roundedTolerance).contains(relativeError(actual.values, expected.values)))
    }
  }

  @Test(arguments: GenerationProducts.allCases)
  func `the head is rounded in packed models, and the embedding if it is tied to it`(
    products: GenerationProducts
  ) throws {
    let bits = products == .int8 ? 8 : nil
    let golden = try Checkpoint.open(path: Fixtures.path("golden/gradients-dense.safetensors"))
    var untied = try GoldenModel.student(adaptersFrom: golden, kind: .dense)
    try #require(untied.hasOwnHead)
    untied.round(for: products)
    #expect(untied.head.linears[0].weight.packed?.bits == bits && untied.embedding.packed == nil)

    let folder = try TemporaryFolder()
    var tied = try Transformer(FamilyModel.connectedGemma4().write(to: folder.path("model")))
    try #require(!tied.hasOwnHead)
    tied.round(for: products)
    #expect(tied.head.linears[0].weight.packed == nil && tied.embedding.packed == nil)
    let dense = tied.embedding.floats(rows: 0..<tied.embedding.rowCount)
    packFirstGroup(of: &tied)
    tied.round(for: products)
    #expect(tied.head.linears[0].weight.packed?.bits == bits && tied.embedding.packed?.bits == bits)
    let rounded = tied.embedding.floats(rows: 0..<tied.embedding.rowCount)
    #expect(relativeError(rounded, dense) < 0.01)
  }

  /// Replaces the weights of the first group of linears by packed zeros.
  private func packFirstGroup(of model: inout Transformer) {
    for index in model.layers[0].groups[0].linears.indices {
      let weight = model.layers[0].groups[0].linears[index].weight
      let tables = [Float](repeating: 0, count: weight.rowCount)
      model.layers[0].groups[0].linears[index].weight = Weight(
        rows: weight.rowCount, columns: weight.columnCount,
        values: .packed(
          PackedWeight(
            codes: TensorBytes([UInt8](repeating: 0, count: weight.rowCount * weight.columnCount)), bits: 8,
            groupSize: weight.columnCount, scales: tables, biases: tables)))
    }
  }

  private func relativeError(_ a: [Float], _ b: [Float]) -> Double {
    let error = zip(a, b).reduce(0.0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }
    return (error / b.reduce(0.0) { $0 + Double($1 * $1) }).squareRoot()
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

  @Test func `sequences of several seeds and lengths are those that are sampled alone`() throws {
    let model = try fixture()
    let sequences = [(1, 0, 24), (1, 3, 9), (2, 0, 17), (1, 1, 2)].map { seed, stream, length in
      SampledSequence(SamplingOptions(seed: seed), stream: stream, length: length)
    }
    let alone = try sequences.map { sequence in
      try model.samples([sequence], shape(length: sequence.length, .goesOn))[0]
    }
    #expect(alone.map(\.count) == [24, 9, 17, 2])
    for atOnce in [nil, 1, 3] {
      #expect(try model.samples(sequences, shape(length: 24, .goesOn), atOnce: atOnce) == alone)
    }
  }

  @Test func `a shorter sample is the beginning of a longer one`() throws {
    let model = try fixture()
    let samples = try [64, 33].map { length in
      try model.samples(3, shape(length: length, .goesOn), sampling: SamplingOptions(seed: 4))
    }
    #expect(samples[0].map { Array($0.prefix(33)) } == samples[1])
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
