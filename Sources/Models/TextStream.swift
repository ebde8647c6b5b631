/// Turns tokens into text as they come, whole characters at a time.
public struct TextStream {
  private let tokenizer: Tokenizer
  /// The beginning of a character whose end has not come yet.
  private var pending: [UInt8] = []

  /// Begins a text; special tokens do not show in it.
  public init(_ tokenizer: Tokenizer) { self.tokenizer = tokenizer }

  /// Adds a token.
  ///
  /// - Returns: The text that is complete now; bytes that are not UTF-8 become U+FFFD.
  public mutating func append(_ token: Int32) -> String {
    pending += tokenizer.decodeBytes([token], skipSpecialTokens: true)
    let end = pending.count - Self.openByteCount(pending)
    defer { pending.removeFirst(end) }
    return String(decoding: pending[..<end], as: UTF8.self)
  }

  /// Ends the text.
  ///
  /// - Returns: What is left of it.
  public mutating func finish() -> String {
    defer { pending = [] }
    return String(decoding: pending, as: UTF8.self)
  }

  /// The bytes at the end that begin a character and may yet be continued.
  private static func openByteCount(_ bytes: [UInt8]) -> Int {
    for count in 1...3 where count <= bytes.count {
      let byte = bytes[bytes.count - count]
      if byte & 0xC0 == 0x80 { continue }
      let length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1
      return length > count ? count : 0
    }
    return 0
  }
}
