/// A SHA-256 digest.
package struct Digest256: Sendable, Hashable, CustomStringConvertible {
  static let byteCount = 32
  private let words: (UInt64, UInt64, UInt64, UInt64)

  /// The digest at an offset of a table.
  init(_ bytes: RawSpan, at offset: Int) {
    words = (
      bytes.integer(at: offset), bytes.integer(at: offset + 8), bytes.integer(at: offset + 16),
      bytes.integer(at: offset + 24)
    )
  }

  /// The digest of bytes.
  package init(hashing bytes: RawSpan) {
    var hasher = SHA256()
    hasher.update(bytes)
    self = hasher.finalize()
  }

  /// The digest of a file, read in pieces that fit the second-level cache.
  ///
  /// - Throws: `FormatError` when it cannot be read.
  package init(ofFile path: String) throws {
    var hasher = SHA256()
    try InputFile.forEachPiece(of: path, pieceByteCount: 128 << 10) { hasher.update($0) }
    self = hasher.finalize()
  }

  /// Reads 64 hexadecimal digits; nil when the text is anything else.
  package init?(_ text: String) {
    let digits = text.utf8.compactMap { Character(Unicode.Scalar($0)).hexDigitValue }
    guard text.utf8.count == 2 * Self.byteCount, digits.count == text.utf8.count else { return nil }
    let bytes = (0..<Self.byteCount).map { UInt8(digits[2 * $0] << 4 | digits[2 * $0 + 1]) }
    self.init(unsafe bytes.span.bytes, at: 0)
  }

  /// The 32 bytes.
  package var bytes: [UInt8] {
    var bytes: [UInt8] = []
    for word in [words.0, words.1, words.2, words.3] { bytes.appendInteger(word) }
    return bytes
  }

  /// 64 hexadecimal digits.
  package var description: String {
    bytes.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
  }

  /// Whether two digests are the same.
  package static func == (a: Self, b: Self) -> Bool { a.words == b.words }

  /// Hashes the first word only, which is as random as the rest.
  package func hash(into hasher: inout Hasher) { hasher.combine(words.0) }
}
