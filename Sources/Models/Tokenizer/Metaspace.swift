import Checkpoints

/// A visible character that stands for a space, as SentencePiece has it, and where one is put first.
struct Metaspace: Sendable {
  /// Which pieces of a text get the character put first.
  enum PrependScheme: String {
    /// The piece with which the text begins.
    case first
    case always
    case never
  }

  /// The character, in UTF-8.
  let replacement: [UInt8]
  /// Which pieces get the character put first.
  let scheme: PrependScheme
  /// Whether a word begins at each of these characters.
  let splits: Bool

  /// Replaces the spaces of a piece and puts the character first if the scheme wants it.
  ///
  /// - Parameters:
  ///   - piece: Not empty.
  ///   - isFirst: Whether the text begins with the piece.
  /// - Returns: The changed piece.
  func changed(_ piece: Span<UInt8>, isFirst: Bool) -> [UInt8] {
    var changed: [UInt8] = []
    changed.reserveCapacity(piece.count + replacement.count)
    let space = UInt8(ascii: " ")
    if scheme == .always || (scheme == .first && isFirst), piece[0] != space, !begins(piece) {
      changed += replacement
    }
    for i in piece.indices {
      if piece[i] == space { changed += replacement } else { changed.append(piece[i]) }
    }
    return changed
  }

  private func begins(_ piece: Span<UInt8>) -> Bool {
    replacement.count <= piece.count && replacement.indices.allSatisfy { piece[$0] == replacement[$0] }
  }
}

/// Reading a `Metaspace` component, which is a pre-tokenizer or a decoder.
extension Metaspace {
  /// Reads the component.
  ///
  /// Old files have `add_prefix_space` in place of `prepend_scheme`.
  ///
  /// - Throws: `FormatError`.
  init(_ component: TokenizerComponent) throws {
    try component.allow(["type", "replacement", "str_rep", "prepend_scheme", "add_prefix_space", "split"])
    let text = try component.string("replacement")
    guard text.unicodeScalars.count == 1 else {
      throw component.malformed("replacement is not one character")
    }
    replacement = Array(text.utf8)
    let addsPrefixSpace = try component.bool("add_prefix_space", default: true)
    let name = try component.string("prepend_scheme", default: addsPrefixSpace ? "always" : "never")
    guard let scheme = PrependScheme(rawValue: name) else {
      throw component.unsupported("prepend_scheme '\(name)'")
    }
    guard addsPrefixSpace || scheme == .never else {
      throw component.malformed("add_prefix_space is false, but prepend_scheme is '\(name)'")
    }
    self.scheme = scheme
    splits = try component.bool("split", default: true)
  }
}
