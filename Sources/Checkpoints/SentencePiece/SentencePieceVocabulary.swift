/// The pieces of a SentencePiece model of kind BPE, by id.
package struct SentencePieceVocabulary: Sendable {
  /// The kinds of pieces, with the numbers of SentencePiece and of `tokenizer.ggml.token_type`.
  package enum Kind: Int, Sendable {
    case normal = 1
    case unknown = 2
    case control = 3
    /// Cut out of a text before anything is merged.
    case userDefined = 4
    case unused = 5
    /// `<0x00>`…`<0xFF>`, which spell characters that are no pieces.
    case byte = 6
  }

  /// A piece.
  package struct Piece: Sendable {
    package let text: String
    /// The higher, the earlier neighbours merge into the piece.
    package let score: Float
    package let kind: Kind

    package init(_ text: String, score: Float, kind: Kind) {
      self.text = text
      self.score = score
      self.kind = kind
    }
  }

  /// The pieces, by id.
  package let pieces: [Piece]

  /// Takes pieces.
  ///
  /// - Parameter pieces: By id; their texts are unique, and their scores are not NaN.
  package init(_ pieces: [Piece]) { self.pieces = pieces }

  /// Longer normal pieces are refused; SentencePiece makes them of at most 16 characters by default.
  package static let pieceByteLimit = 1 << 12
}

extension SentencePieceVocabulary {
  /// A way to make a piece of two others.
  private struct Split {
    let left: Int
    let right: Int
    let score: Float
    /// The number of characters of both sides.
    let counts: (left: Int, right: Int)

    func isBefore(_ other: Split) -> Bool {
      (score, counts.left, counts.right) > (other.score, other.counts.left, other.counts.right)
    }
  }

  /// Every pair of normal pieces that makes a normal piece, best score first, as the merges of a
  /// `tokenizer.json`.
  ///
  /// Of pairs that make pieces of the same score, those with a longer left side come first, as in the
  /// converter of transformers.
  ///
  /// - Throws: `FormatError.unsupported` for a piece longer than `pieceByteLimit`.
  package func merges(path: String) throws(FormatError) -> [(left: String, right: String)] {
    var ids: [ArraySlice<UInt8>: Int] = [:]
    ids.reserveCapacity(pieces.count)
    for (id, piece) in pieces.enumerated() where piece.kind == .normal {
      let text = Array(piece.text.utf8)
      guard text.count <= Self.pieceByteLimit else {
        throw FormatError(
          path, at: "token \(id)",
          .unsupported("a piece of more than \(Self.pieceByteLimit) bytes is not supported"))
      }
      ids[text[...]] = id
    }
    var splits: [Split] = []
    for piece in pieces where piece.kind == .normal { append(splitsOf: piece, ids, to: &splits) }
    // The sort keeps the order of pieces with equal scores.
    splits.sort { $0.isBefore($1) }
    return splits.map { (pieces[$0.left].text, pieces[$0.right].text) }
  }

  private func append(splitsOf piece: Piece, _ ids: [ArraySlice<UInt8>: Int], to splits: inout [Split]) {
    let text = Array(piece.text.utf8)
    let count = piece.text.unicodeScalars.count
    var characters = 0
    for middle in text.indices.dropFirst() where text[middle] & 0xC0 != 0x80 {
      characters += 1
      guard let left = ids[text[..<middle]], let right = ids[text[middle...]] else { continue }
      splits.append(
        Split(left: left, right: right, score: piece.score, counts: (characters, count - characters)))
    }
  }
}
