/// Cuts text into words; merges do not cross the edges of a word.
struct PreTokenizer: Sendable {
  /// The expression of GPT-2, used by `ByteLevel` when `use_regex` is set.
  static let byteLevelRegex =
    #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

  /// One step of cutting or changing.
  enum Step: Sendable {
    case split(SplitRule)
    case metaspace(Metaspace)
    /// A space is put before each piece that does not begin with one.
    case prefixSpace
  }

  /// The steps, each applied to the pieces of the previous one.
  var steps: [Step] = []
  /// Whether words are made of bytes (`ByteLevel`) rather than of characters.
  var endsInBytes = false

  /// Calls `body` with each word, in order; words are not empty.
  ///
  /// - Parameters:
  ///   - text: Valid UTF-8.
  ///   - isFirst: Whether nothing of the text, such as an added token, stands before.
  ///   - body: Receives the bytes of a word.
  func forEachWord(of text: Span<UInt8>, isFirst: Bool, _ body: (Span<UInt8>) -> Void) {
    guard !text.isEmpty else { return }
    apply(steps[...], to: text, isFirst: isFirst, body)
  }

  private func apply(
    _ steps: ArraySlice<Step>, to text: Span<UInt8>, isFirst: Bool, _ body: (Span<UInt8>) -> Void
  ) {
    guard let step = steps.first else { return body(text) }
    switch step {
    case .split(let rule):
      rule.forEachPiece(of: text) {
        apply(
          steps.dropFirst(), to: text.extracting($0), isFirst: isFirst && $0.lowerBound == 0, body)
      }
    case .metaspace(let metaspace):
      let changed = metaspace.changed(text, isFirst: isFirst)
      apply(steps.dropFirst(), to: changed.span, isFirst: isFirst, body)
    case .prefixSpace:
      let space = UInt8(ascii: " ")
      guard text[0] != space else { return apply(steps.dropFirst(), to: text, isFirst: isFirst, body) }
      let spaced = [space] + text.bytes(in: text.indices)
      apply(steps.dropFirst(), to: spaced.span, isFirst: isFirst, body)
    }
  }
}
