import Checkpoints
import Models

/// The prompts that both sides of a comparison continue.
struct VerifyPrompts {
  /// The maximum number of tokens taken from the beginning of a window.
  static let windowTokens = 16

  /// The tokens of each prompt, at least one prompt with at least one token.
  let tokens: [[Int32]]
  /// The maximum number of tokens to write after each prompt.
  let continuationTokens: Int
  /// The tokens that end a text.
  let endTokens: [Int32]
}

extension VerifyOptions {
  /// Returns the prompts: the given texts, otherwise the beginnings of windows; nil if none is to be continued.
  ///
  /// Windows are taken at equal distances. Their beginnings and continuations are shortened to fit in the
  /// context.
  ///
  /// - Throws: `ModelError.contextTooLong` when a given text is too long; `FormatError`.
  func prompts(
    from windows: [[Int32]], _ reference: Checkpoint, _ model: Transformer, _ candidate: Transformer
  ) throws -> VerifyPrompts? {
    guard comparesGeneration else { return nil }
    let endTokens = try TextBoundaries(of: reference).endTokens
    guard prompts.isEmpty else {
      let tokenizer = try Tokenizer(of: reference)
      let tokens = prompts.map { tokenizer.prefixTokens + tokenizer.encode($0) }
      if let index = tokens.firstIndex(where: \.isEmpty) {
        throw PassError.usage("verify: prompt '\(prompts[index])' has no token")
      }
      for side in [model, candidate] {
        try side.requireContext((tokens.map(\.count).max() ?? 0) + continuationTokens)
      }
      return VerifyPrompts(tokens: tokens, continuationTokens: continuationTokens, endTokens: endTokens)
    }
    let context = min(model.configuration.contextLength, candidate.configuration.contextLength)
    let length = max(1, min(VerifyPrompts.windowTokens, window / 2, context / 2))
    let count = min(continuations, windows.count)
    return VerifyPrompts(
      tokens: (0..<count).map { Array(windows[$0 * windows.count / count].prefix(length)) },
      continuationTokens: max(1, min(continuationTokens, context - length)), endTokens: endTokens)
  }
}
