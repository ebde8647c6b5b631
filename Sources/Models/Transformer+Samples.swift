import Kernels

/// The shape of sampled sequences: their first token, length and ending.
package struct SampleShape: Sendable {
  /// What happens to a sequence after a token that ends its text.
  package enum Ending: Sendable {
    /// The sequence ends.
    case stops
    /// The sequence continues with another text until it has its length.
    case goesOn
  }

  /// The first token of each sequence.
  package let beginToken: Int32
  /// The tokens that end a text.
  package let endTokens: [Int32]
  /// The maximum number of tokens of a sequence, including the first one; at least 2.
  package let length: Int
  /// What happens to a sequence at the end of a text.
  package let ending: Ending

  /// Describes the sequences to sample.
  package init(beginToken: Int32, endTokens: [Int32], length: Int, ending: Ending) {
    precondition(length >= 2, "\(length) tokens leave nothing to write")
    self.beginToken = beginToken
    self.endTokens = endTokens
    self.length = length
    self.ending = ending
  }
}

/// A sequence to sample: its random numbers and its length.
package struct SampledSequence: Sendable {
  /// How tokens are chosen.
  package let sampling: SamplingOptions
  /// The number of the sequence among those of the same seed.
  package let stream: Int
  /// The maximum number of tokens, including the first one; at least 2.
  package let length: Int

  /// Describes a sequence.
  package init(_ sampling: SamplingOptions, stream: Int, length: Int) {
    precondition(length >= 2, "\(length) tokens leave nothing to write")
    self.sampling = sampling
    self.stream = stream
    self.length = length
  }
}

extension Transformer {
  /// The maximum memory of the sequences' keys and values, in bytes.
  private static let sampleMemory = 1_000_000_000
  /// The maximum number of sequences that are computed together.
  private static let samplesAtOnce = 128

  /// Lets the model write several sequences of the same length and seed at the same time.
  ///
  /// - Parameters:
  ///   - count: The number of sequences.
  ///   - shape: First token, length and ending of the sequences.
  ///   - sampling: How tokens are chosen.
  ///   - atOnce: The number of sequences computed together; nil for as many as memory allows.
  ///   - progress: Called after each token.
  /// - Returns: The tokens of each sequence, including the begin token and the tokens that end texts.
  /// - Throws: `ModelError`.
  package func samples(
    _ count: Int, _ shape: SampleShape, sampling: SamplingOptions, atOnce: Int? = nil,
    progress: ProgressHandler = { _ in }
  ) throws -> [[Int32]] {
    try samples(
      (0..<count).map { SampledSequence(sampling, stream: $0, length: shape.length) }, shape, atOnce: atOnce,
      progress: progress)
  }

  /// Lets the model write several sequences at the same time.
  ///
  /// Each sequence has its own random numbers. It does not depend on the sequences computed with it, nor on
  /// the number of threads. A shorter one is the beginning of a longer one with the same random numbers.
  ///
  /// - Parameters:
  ///   - sequences: The sequences.
  ///   - shape: First token, maximum length and ending of the sequences.
  ///   - atOnce: The number of sequences computed together; nil for as many as memory allows.
  ///   - progress: Called after each token.
  /// - Returns: The tokens of each sequence, including the begin token and the tokens that end texts.
  /// - Throws: `ModelError`.
  package func samples(
    _ sequences: [SampledSequence], _ shape: SampleShape, atOnce: Int? = nil,
    progress: ProgressHandler = { _ in }
  ) throws -> [[Int32]] {
    try requireContext(shape.length)
    let count = sequences.count
    let slots = min(count, atOnce ?? fittingCount(of: sequences))
    var decoder = Decoder(self, slots: slots, capacity: shape.length, products: .independent)
    var samples = sequences.map { Sample(shape, $0) }
    var active: [(slot: Int, sample: Int)] = (0..<slots).map { ($0, $0) }
    var next = slots
    while !active.isEmpty {
      let logits = try decoder.append(
        active.map { samples[$0.sample].lastToken }, slots: active.map(\.slot))
      let current = active.map { samples[$0.sample] }
      let extended = try parallelMap(active.count) { index in
        try current[index].extended(by: logits.values.span.extracting(logits.row(index)), shape)
      }
      for (place, sample) in zip(active, extended) { samples[place.sample] = sample }
      active = active.compactMap { place in
        guard samples[place.sample].isComplete else { return place }
        decoder.clear(place.slot)
        guard next < count else { return nil }
        defer { next += 1 }
        return (place.slot, next)
      }
      progress(samples.progress)
    }
    return samples.map(\.tokens)
  }

  /// The number of sequences that can be computed together, whichever of them they are.
  private func fittingCount(of sequences: [SampledSequence]) -> Int {
    var left = Self.sampleMemory
    let fitting = sequences.map(\.length).sorted(by: >).prefix { length in
      left -= keyValueBytes(tokens: length)
      return left >= 0
    }
    return max(1, min(Self.samplesAtOnce, fitting.count))
  }
}

/// A sequence that is being written.
private struct Sample: Sendable {
  private(set) var tokens: [Int32]
  private(set) var isComplete: Bool
  /// The maximum number of tokens.
  let length: Int
  private var sampler: TokenSampler

  var lastToken: Int32 { tokens[tokens.count - 1] }

  init(_ shape: SampleShape, _ sequence: SampledSequence) {
    precondition(sequence.length <= shape.length, "\(sequence.length) of at most \(shape.length) tokens")
    tokens = [shape.beginToken]
    isComplete = false
    length = sequence.length
    sampler = TokenSampler(sequence.sampling, stream: sequence.stream)
  }

  /// Returns the sequence with one more token.
  func extended(by logits: Span<Float>, _ shape: SampleShape) throws -> Sample {
    var sample = self
    // If a sequence continues after the end of a text, the next text begins like the first one.
    let begins = shape.endTokens.contains(lastToken) && lastToken != shape.beginToken
    let token = begins ? shape.beginToken : try sample.sampler.next(logits)
    sample.tokens.append(token)
    let stops = shape.ending == .stops && shape.endTokens.contains(token)
    sample.isComplete = stops || sample.tokens.count >= length
    return sample
  }
}

extension [Sample] {
  /// The number of tokens written; a complete sequence counts with its full length.
  fileprivate var progress: Progress {
    let written = reduce(0) { $0 + ($1.isComplete ? $1.length : $1.tokens.count) - 1 }
    let complete = count(where: \.isComplete)
    return Progress(
      phase: "sample", completed: written, total: reduce(0) { $0 + $1.length - 1 },
      detail: "\(complete) of \(count) texts")
  }
}
