import Checkpoints
import Models

/// A prompt with the completion to learn, as one window.
struct FineTuningExample {
  /// The tokenizer's prefix, the prompt, the completion, and the token that ends a text.
  ///
  /// Only the last two parts are scored.
  let window: CalibrationWindow
  /// Whether the end was cut off to fit.
  let isCut: Bool

  /// Reads a line; prompt and completion are tokenized separately, so that the mask is exact.
  ///
  /// - Parameters:
  ///   - line: An object with the texts `prompt` and `completion`.
  ///   - length: The maximum number of tokens; a longer example loses its end.
  ///   - tokenizer: The tokenizer of the texts.
  ///   - endToken: The token that ends a text.
  /// - Throws: `FormatError` with the line when a key is missing or no token is scored.
  init(_ line: JSONLines.Line, length: Int, _ tokenizer: Tokenizer, endToken: Int32) throws {
    let prompt = tokenizer.prefixTokens + tokenizer.encode(try line.text("prompt"))
    let completion = tokenizer.encode(try line.text("completion"))
    guard !completion.isEmpty else { throw line.malformed("'completion' is empty") }
    guard prompt.count < length else {
      throw line.malformed(
        "the prompt has \(prompt.count) tokens, which leaves none of the \(length) of a window for the completion"
      )
    }
    let tokens = prompt + completion + [endToken]
    isCut = tokens.count > length
    let count = min(tokens.count, length)
    window = CalibrationWindow(
      tokens: Array(tokens.prefix(count)), isScored: (0..<count).map { $0 >= max(prompt.count, 1) })
  }
}
