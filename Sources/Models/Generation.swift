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
  /// Single tokens are rounded to int8 for codes of 2, 4 and 8 bits. A dense output head, and the embedding
  /// that is tied to it, are rounded to 8 bits in groups of at most 64 columns. A prompt is rounded to bf16 if
  /// the processor multiplies bf16 faster.
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
    var model = self
    model.round(for: products)
    var decoder = Decoder(
      model, capacity: prompt.count + maxTokens, products: products == .int8 ? .int8 : .fastest)
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

  /// Rounds the weights and products of a packed model as `products` allows.
  ///
  /// `generate` rounds a copy if its model is not rounded; rounding the only copy releases the dense weights
  /// that are replaced.
  public mutating func round(for products: GenerationProducts) {
    guard products == .int8 else { return }
    // Opening a file reads all its bytes; those of the layers need not be in memory beside both heads.
    for linear in layerLinears { linear.weight.packed?.codes.discardPages() }
    for layer in layers.indices {
      for group in layers[layer].groups.indices where layers[layer].groups[group].isPacked {
        layers[layer].groups[group].operands = .bf16
        layers[layer].groups[group].keepSteps()
      }
    }
    head.keepSteps()
    if head.isPacked {
      head.operands = .bf16
    } else if layers.contains(where: { $0.groups.contains(where: \.isPacked) }),
      let rounded = head.roundedToBytes()
    {
      head = rounded
      // The rows of a tied embedding are those of the head, so that the dense ones are not needed.
      if !hasOwnHead { embedding = rounded.linears[0].weight }
    }
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
