import Checkpoints
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
  ///   - maxTokens: The maximum number of tokens to write.
  ///   - sampling: How tokens are chosen.
  ///   - endTokens: The tokens that end the text.
  ///   - began: Called when the prompt has been read.
  ///   - wrote: Gets each token of the continuation.
  /// - Returns: The continuation.
  /// - Throws: `ModelError`; `.notFinite` names the first tensor or layer that is not finite.
  public func generate(
    from prompt: [Int32], maxTokens: Int, sampling: SamplingOptions, endTokens: [Int32],
    began: () -> Void = {}, wrote: (Int32) -> Void = { _ in }
  ) throws -> Generation {
    guard !prompt.isEmpty else { throw ModelError.noToken(path: path, "token to begin with") }
    try requireContext(prompt.count + maxTokens)
    var decoder = Decoder(self, capacity: prompt.count + maxTokens)
    var sampler = TokenSampler(sampling)
    var generation = Generation()
    var logits = try decoder.read(prompt)
    began()
    while generation.tokens.count < maxTokens {
      if !generation.tokens.isEmpty { logits = try decoder.append([generation.tokens.last ?? 0], slots: [0]) }
      let token = try next(&sampler, logits, after: prompt + generation.tokens)
      guard !endTokens.contains(token) else {
        generation.finishReason = .stop
        break
      }
      generation.tokens.append(token)
      wrote(token)
    }
    return generation
  }

  /// The next token; an error names what is not finite in the model.
  private func next(
    _ sampler: inout TokenSampler, _ logits: Matrix, after tokens: @autoclosure () -> [Int32]
  ) throws -> Int32 {
    do {
      return try sampler.next(logits.values.span)
    } catch ModelError.notFinite(let what) {
      throw try findNotFinite(tokens()) ?? .notFinite(what)
    }
  }

  /// Refuses sequences that are longer than those the model was made for.
  func requireContext(_ tokens: Int) throws {
    guard tokens > configuration.contextLength else { return }
    throw ModelError.contextTooLong(tokens: tokens, limit: configuration.contextLength)
  }
}
