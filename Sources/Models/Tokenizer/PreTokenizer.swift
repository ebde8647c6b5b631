/// Cuts text into words; merges do not cross the edges of a word.
struct PreTokenizer: Sendable {
  /// The expression of GPT-2, used by `ByteLevel` when `use_regex` is set.
  static let byteLevelRegex =
    #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

  /// The rules, each applied to the pieces of the previous one.
  var rules: [SplitRule] = []
  /// The rule that `ByteLevel` applies after `rules`, if it uses its expression.
  var byteLevelRule: SplitRule?
  /// Whether `ByteLevel` puts a space before each piece that does not begin with one.
  var addsPrefixSpace = false

  /// Calls `body` with each word, in order; words are not empty.
  ///
  /// - Parameters:
  ///   - text: Valid UTF-8.
  ///   - body: Receives the bytes of a word.
  func forEachWord(of text: Span<UInt8>, _ body: (Span<UInt8>) -> Void) {
    guard !text.isEmpty else { return }
    apply(rules[...], to: text, body)
  }

  private func apply(
    _ rules: ArraySlice<SplitRule>, to text: Span<UInt8>, _ body: (Span<UInt8>) -> Void
  ) {
    guard let rule = rules.first else { return applyByteLevel(to: text, body) }
    rule.forEachPiece(of: text) { apply(rules.dropFirst(), to: text.extracting($0), body) }
  }

  private func applyByteLevel(to text: Span<UInt8>, _ body: (Span<UInt8>) -> Void) {
    let space = UInt8(ascii: " ")
    if addsPrefixSpace && text[0] != space {
      let spaced = [space] + text.indices.map { text[$0] }
      cut(spaced.span, body)
    } else {
      cut(text, body)
    }
  }

  private func cut(_ text: Span<UInt8>, _ body: (Span<UInt8>) -> Void) {
    guard let byteLevelRule else { return body(text) }
    byteLevelRule.forEachPiece(of: text) { body(text.extracting($0)) }
  }
}
