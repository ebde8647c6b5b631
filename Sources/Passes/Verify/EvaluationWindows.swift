public import Models

/// The windows of a text that perplexity is measured on.
///
/// The whole text is tokenized at once without special tokens; windows do not overlap; an incomplete last one is
/// dropped.
public struct EvaluationWindows: Sendable {
  /// All of one length.
  public let windows: [[Int32]]

  /// Cuts a text.
  ///
  /// - Parameters:
  ///   - path: A UTF-8 file.
  ///   - window: The tokens of a window, at least 2.
  ///   - maxTokens: The tokens of the text that are used; nil for all.
  ///   - tokenizer: Reads the text.
  /// - Throws: `FormatError` when the file cannot be read or is not UTF-8, `ModelError.textTooShort` when it has not
  ///   one window.
  public init(path: String, window: Int, maxTokens: Int?, tokenizer: Tokenizer) throws {
    var tokens = try tokenizer.encode(contentsOf: path)
    if let maxTokens { tokens = Array(tokens.prefix(maxTokens)) }
    windows = try Models.windows(of: tokens, length: window, path: path)
  }
}
