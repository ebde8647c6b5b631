import Checkpoints
import Kernels

/// The text that a model generated, as tokens.
public struct Generation: Sendable, Equatable {
  /// Why generation stopped.
  public enum FinishReason: String, Sendable {
    /// The model produced a token that ends a text.
    case stop
    /// The requested number of tokens was reached.
    case length
  }

  /// The tokens, without the one that ended the text.
  public internal(set) var tokens: [Int32] = []
  /// Why generation stopped.
  public internal(set) var finishReason = FinishReason.length
}

/// How generating multiplies the weights of a packed model; dense layers are always multiplied in f32.
public enum GenerationProducts: String, Sendable, CaseIterable {
  /// Single tokens are rounded to int8 for codes of 2, 4 and 8 bits, and so is a dense output head, to 8 bits in
  /// groups of at most 64 columns; a prompt is rounded to bf16 if the processor multiplies bf16 faster.
  case int8
  /// Nothing is rounded.
  case f32
}

extension Transformer {
  /// Continues a text.
  ///
  /// - Parameters:
  ///   - prompt: At least one token; prompt and `maxTokens` together must fit in the context.
  ///   - maxTokens: The maximum number of tokens to write.
  ///   - sampling: How each token is chosen.
  ///   - endTokens: The tokens that end the text.
  ///   - products: How packed weights are multiplied.
  ///   - began: Called after the prompt has been read.
  ///   - wrote: Called with each generated token.
  /// - Returns: The continuation.
  /// - Throws: `ModelError`; `.notFinite` names the first tensor or layer that is not finite.
  public func generate(
    from prompt: [Int32], maxTokens: Int, sampling: SamplingOptions, endTokens: [Int32],
    products: GenerationProducts = .f32,
    began: () -> Void = {}, wrote: (Int32) -> Void = { _ in }
  ) throws -> Generation {
    guard !prompt.isEmpty else { throw ModelError.noToken(path: path, "token to begin with") }
    try requireContext(prompt.count + maxTokens)
    var decoder =
      products == .int8
      ? Decoder(roundingPackedProducts(), capacity: prompt.count + maxTokens, products: .int8)
      : Decoder(self, capacity: prompt.count + maxTokens)
    var sampler = TokenSampler(sampling)
    var generation = Generation()
    var logits = try decoder.read(prompt)
    began()
    while generation.tokens.count < maxTokens {
      if !generation.tokens.isEmpty { logits = try decoder.append([generation.tokens.last ?? 0], slots: [0]) }
      let token = try next(&sampler, logits.values.span, after: prompt + generation.tokens)
      guard !endTokens.contains(token) else {
        generation.finishReason = .stop
        break
      }
      generation.tokens.append(token)
      wrote(token)
    }
    return generation
  }

  /// The model with products of packed weights rounded to bf16 where that is faster.
  private func roundingPackedProducts() -> Transformer {
    var model = self
    for layer in layers.indices {
      for group in layers[layer].groups.indices where layers[layer].groups[group].isPacked {
        model.layers[layer].groups[group].operands = .bf16
      }
    }
    if head.isPacked {
      model.head.operands = .bf16
    } else if layers.contains(where: { $0.groups.contains(where: \.isPacked) }) {
      model.head = head.roundedToBytes() ?? head
    }
    return model
  }

  /// Returns the next token; the error names the tensor or layer that is not finite.
  func next(
    _ sampler: inout TokenSampler, _ logits: Span<Float>, after tokens: @autoclosure () -> [Int32]
  ) throws -> Int32 {
    do {
      return try sampler.next(logits)
    } catch ModelError.notFinite(let what) {
      throw try findNotFinite(tokens()) ?? .notFinite(what)
    }
  }

  /// Rejects sequences longer than the model's context.
  ///
  /// - Throws: `ModelError.contextTooLong`.
  package func requireContext(_ tokens: Int) throws {
    guard tokens > configuration.longestSequence else { return }
    throw ModelError.contextTooLong(tokens: tokens, limit: configuration.longestSequence)
  }
}
