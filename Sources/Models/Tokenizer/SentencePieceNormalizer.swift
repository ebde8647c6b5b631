import Checkpoints

/// Changes a text as SentencePiece does before it cuts it into pieces.
struct SentencePieceNormalizer: Sendable {
  private static let space = UInt8(ascii: " ")
  /// U+2581, which stands for a space.
  static let spaceSymbol: [UInt8] = [0xE2, 0x96, 0x81]

  private let rules: SentencePieceRules
  /// The pieces that rules do not change.
  private let fixedPieces: SentencePieceTrie
  private let removesExtraSpaces: Bool
  private let addsDummyPrefix: Bool
  private let treatsSpaceAsSuffix: Bool
  private let writtenSpace: [UInt8]

  /// Takes a model's settings.
  ///
  /// - Parameters:
  ///   - file: The model.
  ///   - fixedPieces: Its user-defined pieces.
  ///   - addsDummyPrefix: Whether a space is put first, if the model does that.
  /// - Throws: `FormatError` when the rules are malformed.
  init(_ file: SentencePieceFile, fixedPieces: SentencePieceTrie, addsDummyPrefix: Bool) throws {
    rules = try SentencePieceRules(file.normalization.rules, path: file.path)
    self.fixedPieces = fixedPieces
    removesExtraSpaces = file.normalization.removesExtraSpaces
    self.addsDummyPrefix = addsDummyPrefix && file.normalization.addsDummyPrefix
    treatsSpaceAsSuffix = file.treatsSpaceAsSuffix
    writtenSpace = file.normalization.escapesSpaces ? Self.spaceSymbol : [Self.space]
  }

  /// Returns the changed text.
  ///
  /// - Parameters:
  ///   - text: Valid UTF-8.
  ///   - allowsDummyPrefix: Whether the space that the model puts first is wanted here.
  /// - Returns: The text; rules of a hostile model can make it invalid UTF-8.
  func changed(_ text: Span<UInt8>, allowsDummyPrefix: Bool) -> [UInt8] {
    var position = removesExtraSpaces ? endOfSpaces(in: text) : 0
    guard position < text.count else { return [] }
    let addsSpace = addsDummyPrefix && allowsDummyPrefix
    var changed: [UInt8] = []
    changed.reserveCapacity(text.count + text.count / 2 + Self.spaceSymbol.count)
    if addsSpace, !treatsSpaceAsSuffix { changed += writtenSpace }
    var followsSpace = removesExtraSpaces
    while position < text.count {
      if let rule = rule(at: position, in: text) {
        append(rule.text.span, to: &changed, &followsSpace)
        position = rule.end
      } else {
        let end = endOfPart(at: position, in: text)
        append(text.extracting(position..<end), to: &changed, &followsSpace)
        position = end
      }
    }
    if removesExtraSpaces { removeSpaces(atEndOf: &changed) }
    if addsSpace, treatsSpaceAsSuffix { changed += writtenSpace }
    return changed
  }

  private func append(_ part: Span<UInt8>, to changed: inout [UInt8], _ followsSpace: inout Bool) {
    var start = 0
    while followsSpace, start < part.count, part[start] == Self.space { start += 1 }
    guard start < part.count else { return }
    for i in start..<part.count {
      if part[i] == Self.space { changed += writtenSpace } else { changed.append(part[i]) }
    }
    followsSpace = removesExtraSpaces && part[part.count - 1] == Self.space
  }

  /// The rule for the characters at an offset; nil where they stay as they are.
  private func rule(at offset: Int, in text: Span<UInt8>) -> (end: Int, text: ArraySlice<UInt8>)? {
    guard !rules.isEmpty, fixedPieces.longestMatch(in: text, at: offset) == nil else { return nil }
    return rules.replacement(in: text, at: offset)
  }

  /// The end of the user-defined piece or the character at an offset.
  private func endOfPart(at offset: Int, in text: Span<UInt8>) -> Int {
    fixedPieces.longestMatch(in: text, at: offset) ?? text.endOfCharacter(at: offset)
  }

  /// The end of the characters at the beginning that are, or become, a space each.
  private func endOfSpaces(in text: Span<UInt8>) -> Int {
    var position = 0
    while position < text.count {
      if let rule = rule(at: position, in: text) {
        guard rule.text.elementsEqual([Self.space]) else { break }
        position = rule.end
      } else {
        guard text[position] == Self.space, endOfPart(at: position, in: text) == position + 1 else { break }
        position += 1
      }
    }
    return position
  }

  private func removeSpaces(atEndOf changed: inout [UInt8]) {
    let space = writtenSpace
    while changed.count >= space.count, changed.suffix(space.count).elementsEqual(space) {
      changed.removeLast(space.count)
    }
  }
}

extension Span<UInt8> {
  /// The end of the character that begins at an offset, by its first byte and at most the end of the text.
  ///
  /// The text need not be valid UTF-8.
  func endOfCharacter(at offset: Int) -> Int {
    let length =
      switch self[offset] {
      case 0..<0xC0: 1
      case 0xC0..<0xE0: 2
      case 0xE0..<0xF0: 3
      default: 4
      }
    return Swift.min(offset + length, count)
  }
}
