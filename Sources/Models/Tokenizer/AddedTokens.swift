/// A token that is matched in the text before normalization and merges.
struct AddedToken: Sendable, Equatable {
  let id: Int32
  /// The text that stands for the token, in UTF-8.
  let content: [UInt8]
  /// Whether decoding can leave the token out.
  let isSpecial: Bool
  /// Whether the token takes the white space before it.
  let stripsLeft: Bool
  /// Whether the token takes the white space after it.
  let stripsRight: Bool
  /// Whether the token matches only where no word character is next to it.
  let isSingleWord: Bool
  /// Whether the token is matched after normalization.
  let isNormalized: Bool
}

/// Finds added tokens in text; the leftmost match wins; at the same place, the longest.
struct AddedTokenCutter: Sendable {
  /// A part of a text.
  enum Piece: Equatable {
    case token(Int32)
    case text(Range<Int>)
  }

  private var contents = ByteStringTable()
  private var tokens: [AddedToken] = []
  /// For each first byte, the lengths of the tokens that begin with it, longest first.
  private var lengths = [[Int]](repeating: [], count: 256)
  /// Whether a token begins with a byte.
  private var isFirstByte = [Bool](repeating: false, count: 256)

  /// Whether there are no tokens to find.
  var isEmpty: Bool { tokens.isEmpty }

  /// Prepares the search; if several tokens have the same content, the first is used.
  ///
  /// - Parameter tokens: Tokens whose content is not empty.
  init(_ tokens: [AddedToken]) {
    for token in tokens where contents.insert(token.content.span).isNew {
      self.tokens.append(token)
      let first = Int(token.content[0])
      isFirstByte[first] = true
      if !lengths[first].contains(token.content.count) { lengths[first].append(token.content.count) }
    }
    for first in lengths.indices { lengths[first].sort(by: >) }
  }

  /// Calls `body` with the tokens and the text between them, in order.
  ///
  /// White space that a token strips is part of the token and not reported.
  ///
  /// - Parameters:
  ///   - text: Valid UTF-8.
  ///   - body: Receives each piece.
  func cut(_ text: Span<UInt8>, _ body: (Piece) -> Void) {
    var reported = 0
    var position = 0
    while let (token, match) = firstMatch(in: text, from: position) {
      // A token that does not match as a single word is skipped as a whole, as in `tokenizers`.
      position = match.upperBound
      if token.isSingleWord && !isSingleWord(match, in: text) { continue }
      var start = match.lowerBound
      var end = match.upperBound
      if token.stripsLeft { start = max(reported, startOfSpace(before: start, in: text)) }
      if token.stripsRight { end = endOfSpace(after: end, in: text) }
      if reported < start { body(.text(reported..<start)) }
      body(.token(token.id))
      reported = end
    }
    if reported < text.count { body(.text(reported..<text.count)) }
  }

  private func firstMatch(in text: Span<UInt8>, from start: Int) -> (AddedToken, Range<Int>)? {
    guard !isEmpty else { return nil }
    for position in start..<text.count where isFirstByte[Int(text[position])] {
      for length in lengths[Int(text[position])] where length <= text.count - position {
        let range = position..<position + length
        if let index = contents.index(of: text.extracting(range)) { return (tokens[index], range) }
      }
    }
    return nil
  }

  private func isSingleWord(_ match: Range<Int>, in text: Span<UInt8>) -> Bool {
    if match.lowerBound > 0 {
      let before = text.startOfScalar(before: match.lowerBound)
      if Self.isWordCharacter(text.scalar(at: before).value) { return false }
    }
    return match.upperBound == text.count
      || !Self.isWordCharacter(text.scalar(at: match.upperBound).value)
  }

  private func startOfSpace(before end: Int, in text: Span<UInt8>) -> Int {
    var start = end
    while start > 0 {
      let before = text.startOfScalar(before: start)
      guard text.isWhiteSpace(at: before) else { break }
      start = before
    }
    return start
  }

  private func endOfSpace(after start: Int, in text: Span<UInt8>) -> Int {
    var end = start
    while end < text.count {
      guard text.isWhiteSpace(at: end) else { break }
      end = text.scalar(at: end).end
    }
    return end
  }

  /// Whether a scalar matches `\w` of Unicode's regular expressions.
  private static func isWordCharacter(_ value: UInt32) -> Bool {
    let kind = ScalarKinds.kind(of: value)
    guard ScalarKinds.assigned.contains(kind), let properties = Unicode.Scalar(value)?.properties else {
      return false
    }
    return ScalarKinds.word.contains(kind) || properties.isAlphabetic || properties.isJoinControl
  }
}
