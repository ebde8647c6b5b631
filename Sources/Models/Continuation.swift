import Kernels

/// The tokens that a model writes after a prompt when it always takes the most probable token.
public struct Continuation: Sendable, Equatable {
  /// The number of tokens that a repeated sequence must have to count as repetition.
  public static let repeatedCount = 4

  /// The tokens; the one that ends the text is the last.
  public internal(set) var tokens: [Int32]
  /// Whether the model ended the text.
  public internal(set) var isEnded: Bool

  /// Creates a continuation.
  public init(tokens: [Int32] = [], isEnded: Bool = false) {
    self.tokens = tokens
    self.isEnded = isEnded
  }

  /// The share of sequences of `repeatedCount` tokens that occurred earlier in the continuation, `0...1`.
  ///
  /// Source: rep-n, arXiv:1908.04319.
  public var repetition: Double {
    guard tokens.count >= Self.repeatedCount else { return 0 }
    let sequences = (0...tokens.count - Self.repeatedCount).map { tokens[$0..<$0 + Self.repeatedCount] }
    return 1 - Double(Set(sequences).count) / Double(sequences.count)
  }

  /// Whether the continuation is one token, or a short cycle of tokens, again and again.
  ///
  /// The cycle has at most an eighth of the tokens and fills all but the first quarter of the continuation,
  /// up to its last token. A text that was ended is not collapsed.
  public var isCollapsed: Bool {
    guard !isEnded, tokens.count >= 8 else { return false }
    let tail = tokens.dropFirst(tokens.count / 4)
    return (1...tokens.count / 8).contains { period in
      zip(tail, tail.dropFirst(period)).allSatisfy { $0 == $1 }
    }
  }

  /// Returns the number of first tokens that two continuations have in common.
  public func equalCount(with other: Continuation) -> Int {
    zip(tokens, other.tokens).prefix { $0 == $1 }.count
  }
}

extension Transformer {
  /// The maximum memory of the keys and values of prompts that are continued together, in bytes.
  private static let continuationMemory = 1_000_000_000

  /// Continues prompts, many of them together, always with the most probable token.
  ///
  /// - Parameters:
  ///   - prompts: At least one token each.
  ///   - tokenCount: The maximum number of tokens to write after each prompt, at least 1.
  ///   - endTokens: The tokens that end a text.
  ///   - progress: Called after each token with the number of tokens for all prompts; tokens that are left out
  ///     because a text has ended count, too.
  /// - Returns: One continuation per prompt.
  /// - Throws: `ModelError.contextTooLong`, `.tokenOutOfRange`, `.notFinite`.
  package func continuations(
    of prompts: [[Int32]], tokenCount: Int, endTokens: [Int32], progress: (Int) -> Void = { _ in }
  ) throws -> [Continuation] {
    let capacity = (prompts.map(\.count).max() ?? 0) + tokenCount
    try requireContext(capacity)
    let byteCount = max(keyValueBytes(tokens: capacity), 1)
    let atOnce = max(1, Self.continuationMemory / byteCount)
    return try stride(from: 0, to: prompts.count, by: atOnce).flatMap { start in
      let batch = prompts[start..<min(start + atOnce, prompts.count)]
      var writer = ContinuationWriter(self, Array(batch), capacity: capacity, endTokens: endTokens)
      for count in 1...tokenCount {
        try writer.writeToken()
        progress(start * tokenCount + count * batch.count)
      }
      return writer.continuations
    }
  }
}

/// Continues several prompts token by token.
private struct ContinuationWriter {
  private(set) var continuations: [Continuation]
  private let model: Transformer
  private let prompts: [[Int32]]
  private let endTokens: [Int32]
  private var decoder: Decoder
  private var sampler = TokenSampler(SamplingOptions(temperature: 0))

  init(_ model: Transformer, _ prompts: [[Int32]], capacity: Int, endTokens: [Int32]) {
    self.model = model
    self.prompts = prompts
    self.endTokens = endTokens
    continuations = prompts.map { _ in Continuation() }
    decoder = Decoder(model, slots: prompts.count, capacity: capacity)
  }

  /// Adds a token to each continuation that is not ended.
  mutating func writeToken() throws {
    let slots = continuations.indices.filter { !continuations[$0].isEnded }
    let last = slots.compactMap { continuations[$0].tokens.last }
    if last.count < slots.count {
      for slot in slots { try append(decoder.read(prompts[slot], slot: slot), to: [slot]) }
    } else if !slots.isEmpty {
      try append(decoder.append(last, slots: slots), to: slots)
    }
  }

  /// Adds the most probable token of each row of logits.
  private mutating func append(_ logits: Matrix, to slots: [Int]) throws {
    for (row, slot) in slots.enumerated() {
      let token = try model.next(
        &sampler, logits.values.span.extracting(logits.row(row)),
        after: prompts[slot] + continuations[slot].tokens)
      continuations[slot].tokens.append(token)
      continuations[slot].isEnded = endTokens.contains(token)
    }
  }
}
