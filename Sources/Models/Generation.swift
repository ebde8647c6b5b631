import Kernels

/// What a model wrote.
public struct Generation: Sendable, Equatable {
  /// Why there is no more.
  public enum FinishReason: String, Sendable {
    /// A token came that ends a text.
    case stop
    /// As many tokens as were asked for have come.
    case length
  }

  /// The tokens, without the one that ends the text.
  public internal(set) var tokens: [Int32] = []
  /// Why there is no more.
  public internal(set) var finishReason = FinishReason.length
}

extension Transformer {
  /// Continues a text.
  ///
  /// - Parameters:
  ///   - prompt: The tokens of its beginning, at least one; with `maxTokens` they may not exceed the context.
  ///   - maxTokens: The most tokens to write.
  ///   - sampling: How tokens are chosen.
  ///   - endTokens: The tokens that end the text.
  ///   - began: Told when the prompt has been read.
  ///   - wrote: Gets each token of the continuation.
  /// - Returns: The continuation.
  /// - Throws: `ModelError`.
  package func generate(
    from prompt: [Int32], maxTokens: Int, sampling: SamplingOptions, endTokens: [Int32],
    began: () -> Void = {}, wrote: (Int32) -> Void = { _ in }
  ) throws -> Generation {
    try requireContext(prompt.count + maxTokens)
    var decoder = Decoder(self, capacity: prompt.count + maxTokens)
    var sampler = TokenSampler(sampling)
    var generation = Generation()
    var logits = try decoder.read(prompt)
    began()
    while generation.tokens.count < maxTokens {
      if !generation.tokens.isEmpty { logits = try decoder.append([generation.tokens.last ?? 0], slots: [0]) }
      let token = try sampler.next(logits.values.span)
      guard !endTokens.contains(token) else {
        generation.finishReason = .stop
        break
      }
      generation.tokens.append(token)
      wrote(token)
    }
    return generation
  }

  /// Refuses sequences that are longer than those the model was made for.
  func requireContext(_ tokens: Int) throws {
    guard tokens > configuration.contextLength else { return }
    throw ModelError.contextTooLong(tokens: tokens, limit: configuration.contextLength)
  }
}
