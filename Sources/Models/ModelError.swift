import Checkpoints

/// What is wrong with a model's configuration, tokenizer or text.
public enum ModelError: Error, Equatable, CustomStringConvertible {
  /// A text has fewer tokens than its windows need.
  case textTooShort(path: String, tokens: Int, needed: Int)
  /// A tokenizer gives an id that has no row in the embedding; the path is that of the tokenizer, where it is known.
  case tokenOutOfRange(path: String? = nil, id: Int, vocabularySize: Int)
  /// A sequence is longer than those the model was made for.
  case contextTooLong(tokens: Int, limit: Int)
  /// A model has no token of a kind that is needed; the path is the checkpoint's.
  case noToken(path: String, String)
  /// Two models cannot be compared.
  case incomparable(String)
  /// A value is NaN or infinite where the computation needs it finite.
  case notFinite(String)

  /// The reason as one line.
  public var description: String {
    switch self {
    case .textTooShort(let path, let tokens, let needed):
      "\(path.escapedForDisplay): has \(tokens) tokens, its windows need \(needed)"
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
