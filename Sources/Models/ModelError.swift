import Checkpoints

/// An error in a model's configuration, tokenizer or text.
public enum ModelError: Error, Equatable, CustomStringConvertible {
  /// A text has fewer tokens than its windows need; `fitting` is how many of them it has tokens for.
  case textTooShort(path: String, tokens: Int, needed: Int, fitting: Int = 0)
  /// A token id has no row in the embedding; the path is the tokenizer's, if known.
  case tokenOutOfRange(path: String? = nil, id: Int, vocabularySize: Int)
  /// A sequence is longer than the model's context.
  case contextTooLong(tokens: Int, limit: Int)
  /// The model does not define a token that is needed; the path is the checkpoint's.
  case noToken(path: String, String)
  /// Two models cannot be compared.
  case incomparable(String)
  /// A value is NaN or infinite where the computation needs a finite one.
  case notFinite(String)

  /// The reason as one line.
  public var description: String {
    switch self {
    case .textTooShort(let path, let tokens, let needed, let fitting):
      "\(path.escapedForDisplay): has \(tokens) tokens, its windows need \(needed)"
        + (fitting > 0 ? "; \(fitting) of them would fit" : "")
    case .tokenOutOfRange(let path, let id, let size):
      (path.map { "\($0.escapedForDisplay): " } ?? "") + "token \(id): is outside the vocabulary of \(size)"
    case .contextTooLong(let tokens, let limit):
      "\(tokens) tokens are more than the model's context of \(limit)"
    case .noToken(let path, let kind): "\(path.escapedForDisplay): has no \(kind.escapedForDisplay)"
    case .incomparable(let reason): reason.escapedForDisplay
    case .notFinite(let what): "\(what.escapedForDisplay) is not finite"
    }
  }
}
