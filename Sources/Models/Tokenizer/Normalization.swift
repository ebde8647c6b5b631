import Foundation

/// Normalization forms of text in UTF-8.
enum Normalization {
  /// The text, which is valid UTF-8, in normalization form C, or nil when it surely is already.
  static func nfc(_ text: Span<UInt8>) -> [UInt8]? {
    // Below U+0300, whose first byte is 0xCC, every text is normalized.
    guard text.indices.contains(where: { text[$0] >= 0xCC }) else { return nil }
    return nfc(text.indices.map { text[$0] })
  }

  /// The text in normalization form C.
  static func nfc(_ text: [UInt8]) -> [UInt8] {
    Array(String(decoding: text, as: UTF8.self).precomposedStringWithCanonicalMapping.utf8)
  }
}

extension AddedToken {
  /// The token as it is looked for in normalized text.
  var normalized: AddedToken {
    AddedToken(
      id: id, content: Normalization.nfc(content), isSpecial: isSpecial, stripsLeft: stripsLeft,
      stripsRight: stripsRight, isSingleWord: isSingleWord, isNormalized: isNormalized)
  }
}
