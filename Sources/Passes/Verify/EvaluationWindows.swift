public import Models

/// The windows of a text for measuring perplexity.
///
/// The whole text is tokenized at once without special tokens. Windows do not overlap, and an incomplete last
/// one is dropped.
public struct EvaluationWindows: Sendable {
  /// The windows, all of the same length.
  public let windows: [[Int32]]

  /// Cuts a text.
  ///
  /// - Parameters:
  ///   - path: A UTF-8 file.
  ///   - window: The number of tokens per window, at least 2.
  ///   - maxTokens: The number of tokens of the text to use; nil for all.
  ///   - tokenizer: The tokenizer of the text.
  /// - Throws: `FormatError` when the file cannot be read or is not UTF-8, `ModelError.textTooShort` when it
  ///   has fewer tokens than one window.
  public init(path: String, window: Int, maxTokens: Int?, tokenizer: Tokenizer) throws {
    var tokens = try tokenizer.encode(contentsOf: path)
    if let maxTokens { tokens = Array(tokens.prefix(maxTokens)) }
    windows = try Models.windows(of: tokens, length: window, path: path)
  }
}
