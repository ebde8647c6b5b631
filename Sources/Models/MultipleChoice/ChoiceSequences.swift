package import Checkpoints

/// The tokens of a question followed by each of its choices.
///
/// Source: `_encode_pair` and `_loglikelihood_tokens` of EleutherAI's lm-evaluation-harness. White space at the
/// end of the question is moved to the choice. Question and choice are tokenized together, and the first tokens
/// are replaced by those of the question alone.
package struct ChoiceSequences: Sendable, Equatable {
  /// The question's tokens followed by those of a choice.
  struct Sequence: Sendable, Equatable {
    /// At least one token of the question, then the choice.
    var tokens: [Int32]
    /// The number of tokens of the choice, at least 1.
    let scoredCount: Int

    /// The tokens that the model reads: all but the last one.
    var inputs: ArraySlice<Int32> { tokens.dropLast() }
    /// The rows whose logits predict the choice.
    var scoredRows: Range<Int> { tokens.count - 1 - scoredCount..<tokens.count - 1 }
  }

  /// One per choice.
  let sequences: [Sequence]
  /// Whether the question was cut on the left to fit in the model's context.
  package let isCut: Bool

  /// Tokenizes a question.
  ///
  /// - Parameters:
  ///   - question: The question.
  ///   - tokenizer: The tokenizer.
  ///   - firstToken: The token before a choice whose question is empty; nil if the model has none.
  ///   - contextLength: The maximum number of tokens that the model reads.
  /// - Throws: `FormatError` with the question's line.
  package init(
    _ question: MultipleChoiceQuestion, _ tokenizer: Tokenizer, firstToken: Int32?, contextLength: Int
  ) throws(FormatError) {
    let (text, space) = question.question.cutBeforeTrailingSpace
    let encoded = tokenizer.encode(text)
    let hasPrefix = text.isEmpty || encoded.starts(with: tokenizer.prefixTokens)
    var context = hasPrefix ? encoded : tokenizer.prefixTokens + encoded
    if context.isEmpty {
      guard let firstToken else {
        throw question.malformed("has an empty question, and the model has no token that begins a text")
      }
      context = [firstToken]
    }
    var isCut = false
    var sequences: [Sequence] = []
    for (index, choice) in question.choices.enumerated() {
      let joint = space.isEmpty && choice.first?.isWhitespace == false ? " " : space
      let continuation = tokenizer.encode(text + joint + choice).dropFirst(encoded.count)
      guard !continuation.isEmpty else {
        throw question.malformed("choice \(index) has no token of its own after the question")
      }
      guard continuation.count <= contextLength else {
        throw question.malformed(
          "choice \(index) has \(continuation.count) tokens, the model's context is \(contextLength)")
      }
      let kept = context.suffix(contextLength + 1 - continuation.count)
      isCut = isCut || kept.count < context.count
      sequences.append(Sequence(tokens: Array(kept) + continuation, scoredCount: continuation.count))
    }
    self.sequences = sequences
    self.isCut = isCut
  }
}

extension ChoiceSequences {
  /// The tokens of the question followed by those of each choice.
  package var windows: [[Int32]] { sequences.map(\.tokens) }
}

extension String {
  /// The text without white space at its end, and that white space.
  fileprivate var cutBeforeTrailingSpace: (text: String, space: String) {
    let end = unicodeScalars.lastIndex { !$0.properties.isWhitespace }
      .map { unicodeScalars.index(after: $0) }
    let (text, space) = (unicodeScalars[..<(end ?? startIndex)], unicodeScalars[(end ?? startIndex)...])
    return (String(text), String(space))
  }
}
