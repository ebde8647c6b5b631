import Kernels

/// The tokens that a model writes after a prompt when it always takes the most probable token.
public struct Continuation: Sendable, Equatable {
  /// The number of tokens that a repeated sequence must have to count as repetition.
  public static let repeatedCount = 4

  /// The tokens; the one that ends the text is the last.
  public internal(set) var tokens: [Int32] = []
  /// Whether the model ended the text.
  public internal(set) var isEnded = false

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
  /// Continues prompts, all of them together, always with the most probable token.
  ///
  /// - Parameters:
  ///   - prompts: At least one token each.
  ///   - tokenCount: The maximum number of tokens to write after each prompt.
  ///   - endTokens: The tokens that end a text.
  ///   - progress: Called after each token.
  /// - Returns: One continuation per prompt.
  /// - Throws: `ModelError.contextTooLong`, `.tokenOutOfRange`, `.notFinite`.
  package func continuations(
    of prompts: [[Int32]], tokenCount: Int, endTokens: [Int32], progress: (Int) -> Void = { _ in }
  ) throws -> [Continuation] {
    let capacity = (prompts.map(\.count).max() ?? 0) + tokenCount
    try requireContext(capacity)
    var decoder = Decoder(self, slots: prompts.count, capacity: capacity)
    var sampler = TokenSampler(SamplingOptions(temperature: 0))
    var continuations = prompts.map { _ in Continuation() }
    func append(_ logits: Matrix, to slots: [Int]) throws {
      for (row, slot) in slots.enumerated() {
        let token = try next(
          &sampler, logits.values.span.extracting(logits.row(row)),
          after: prompts[slot] + continuations[slot].tokens)
        continuations[slot].tokens.append(token)
        continuations[slot].isEnded = endTokens.contains(token)
      }
    }
    for (slot, prompt) in prompts.enumerated() { try append(decoder.read(prompt, slot: slot), to: [slot]) }
    progress(1)
    for count in 1..<max(tokenCount, 1) {
      let slots = continuations.indices.filter { !continuations[$0].isEnded }
      if !slots.isEmpty {
        try append(
          decoder.append(slots.map { continuations[$0].tokens.last ?? 0 }, slots: slots), to: slots)
      }
      progress(count + 1)
    }
    return continuations
  }
}
