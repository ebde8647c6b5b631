public import Checkpoints

/// The tokens that begin and end a text of a model.
public struct TextBoundaries: Sendable, Equatable {
  /// The token before a text, if the model has one.
  public let beginToken: Int32?
  /// The tokens that end a text; the first one is written after a text.
  public let endTokens: [Int32]

  /// Names the tokens.
  public init(beginToken: Int32?, endTokens: [Int32]) {
    self.beginToken = beginToken
    self.endTokens = endTokens
  }

  /// Reads the tokens from a checkpoint's `generation_config.json`, or from its `config.json` where the
  /// former lacks them.
  ///
  /// - Throws: `FormatError` when a file is malformed or a token is outside the vocabulary.
  public init(of checkpoint: Checkpoint) throws {
    let configuration = try ModelConfiguration(of: checkpoint)
    let keys = try Self.generationKeys(of: checkpoint)
    let path = keys?.path ?? checkpoint.path + "/config.json"
    let begin = try keys?.tokens("bos_token_id") ?? []
    let end = try keys?.tokens("eos_token_id") ?? []
    func checked(_ tokens: [Int], _ key: String) throws -> [Int32] {
      guard let token = tokens.first(where: { $0 >= configuration.vocabularySize }) else {
        return tokens.map { Int32($0) }
      }
      throw FormatError(
        path, at: "key '\(key)'",
        .malformed("token \(token) is outside the vocabulary of \(configuration.vocabularySize)"))
    }
    beginToken = try checked(
      begin.isEmpty ? configuration.beginToken.map { [$0] } ?? [] : begin, "bos_token_id"
    ).first
    endTokens = try checked(end.isEmpty ? configuration.endTokens : end, "eos_token_id")
  }

  private static func generationKeys(of checkpoint: Checkpoint) throws -> ConfigurationKeys? {
    guard let bytes = try checkpoint.asset(named: "generation_config.json") else { return nil }
    let path = checkpoint.path + "/generation_config.json"
    do {
      let json = try bytes.withSpan { span throws(JSONError) in try JSONValue(parsing: span) }
      guard json.object != nil else { throw FormatError(path, .malformed("is not an object")) }
      return ConfigurationKeys(json: json, path: path)
    } catch let error as JSONError {
      throw FormatError(path, byte: error.byteOffset, .malformed(error.reason))
    }
  }
}
