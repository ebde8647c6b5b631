import Checkpoints

/// The compiled rules with which SentencePiece replaces characters: NMT's form of NFKC, for example.
///
/// The layout is in `Formats/sentencepiece.md`.
struct SentencePieceRules: Sendable {
  /// Longer texts are refused, so that a text grows by a bounded factor.
  private static let textByteLimit = 256

  /// The units of a double array (darts-clone).
  private let units: [UInt32]
  /// The texts that are put in, each ended by a zero.
  private let texts: [UInt8]

  /// Reads compiled rules; no rules from no bytes.
  ///
  /// - Throws: `FormatError` when the sizes disagree.
  init(_ bytes: [UInt8], path: String) throws(FormatError) {
    guard !bytes.isEmpty else {
      (units, texts) = ([], [])
      return
    }
    func word(_ offset: Int) -> UInt32 {
      (0..<4).reduce(0) { $0 | UInt32(bytes[offset + $1]) << UInt32(8 * $1) }
    }
    let sizeByteCount = 4
    guard bytes.count > sizeByteCount else { throw Self.malformed("\(bytes.count) bytes are too few", path) }
    let trieByteCount = Int(word(0))
    guard trieByteCount > 0, trieByteCount % 4 == 0, trieByteCount <= bytes.count - sizeByteCount else {
      throw Self.malformed("a trie of \(trieByteCount) bytes in \(bytes.count)", path)
    }
    units = (0..<trieByteCount / 4).map { word(sizeByteCount + 4 * $0) }
    texts = Array(bytes[(sizeByteCount + trieByteCount)...])
    let longest = texts.split(separator: 0).map(\.count).max() ?? 0
    guard longest <= Self.textByteLimit else { throw Self.malformed("a text of \(longest) bytes", path) }
  }

  private static func malformed(_ reason: String, _ path: String) -> FormatError {
    FormatError(path, at: "normalization rules", .malformed(reason))
  }

  /// Whether every character stays as it is.
  var isEmpty: Bool { units.isEmpty }

  /// Finds the longest rule for the characters at an offset.
  ///
  /// - Returns: Where the characters end, and the text in their place; nil without a rule.
  func replacement(in text: Span<UInt8>, at start: Int) -> (end: Int, text: ArraySlice<UInt8>)? {
    guard let first = units.first else { return nil }
    var found: (end: Int, text: ArraySlice<UInt8>)?
    var node = Self.offset(first)
    for position in start..<text.count {
      node ^= Int(text[position])
      guard node < units.count, units[node] & (1 << 31 | 0xFF) == UInt32(text[position]) else { break }
      let unit = units[node]
      node ^= Self.offset(unit)
      guard unit >> 8 & 1 == 1, node < units.count else { continue }
      let value = Int(units[node] & (1 << 31 - 1))
      guard value < texts.count else { continue }
      let end = texts[value...].firstIndex(of: 0) ?? texts.endIndex
      found = (position + 1, texts[value..<end])
    }
    return found
  }

  /// How far the children of a unit are away, for an exclusive or.
  private static func offset(_ unit: UInt32) -> Int { Int(unit >> 10) << Int((unit & 1 << 9) >> 6) }
}
