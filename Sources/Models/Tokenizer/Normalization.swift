import Foundation

/// Normalization forms of text in UTF-8.
enum Normalization {
  /// Returns the text in normalization form C, or nil if it surely is already; the text must be valid UTF-8.
  static func nfc(_ text: Span<UInt8>) -> [UInt8]? {
    // Text whose scalars are all below U+0300 (first byte 0xCC) is normalized.
    guard text.indices.contains(where: { text[$0] >= 0xCC }) else { return nil }
    return nfc(text.indices.map { text[$0] })
  }

  /// Returns the text in normalization form C.
  static func nfc(_ text: [UInt8]) -> [UInt8] {
    Array(String(decoding: text, as: UTF8.self).precomposedStringWithCanonicalMapping.utf8)
  }
}

extension AddedToken {
  /// The token as it is matched in normalized text.
  var normalized: AddedToken {
    AddedToken(
      id: id, content: Normalization.nfc(content), isSpecial: isSpecial, stripsLeft: stripsLeft,
      stripsRight: stripsRight, isSingleWord: isSingleWord, isNormalized: isNormalized)
  }
}
