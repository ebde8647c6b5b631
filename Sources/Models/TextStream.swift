/// Turns tokens into text as they arrive, in whole characters.
///
/// All parts together are the text that `Tokenizer.decode` gives for all tokens that are not special.
public struct TextStream {
  private let tokenizer: Tokenizer
  private var assembler: TextAssembler
  /// The first bytes of a character that is not complete yet.
  private var pending: [UInt8] = []

  /// Begins a text without its special tokens.
  ///
  /// - Parameters:
  ///   - tokenizer: Made the tokens.
  ///   - prompt: Tokens that the text continues. They are not part of it, but if they have a text, its
  ///     continuation keeps the space that it begins with.
  public init(_ tokenizer: Tokenizer, after prompt: [Int32] = []) {
    self.tokenizer = tokenizer
    assembler = TextAssembler(tokenizer.decoder)
    for token in prompt { _ = append(token) }
    assembler.endBytes(&pending)
    pending = []
  }

  /// Adds a token.
  ///
  /// - Returns: The text that this token completes; bytes that are not UTF-8 become U+FFFD.
  public mutating func append(_ token: Int32) -> String {
    guard !tokenizer.isSpecial(token) else { return "" }
    tokenizer.append(token, assembling: &assembler, &pending)
    let end = pending.count - Self.openByteCount(pending)
    defer { pending.removeFirst(end) }
    return String(decoding: pending[..<end], as: UTF8.self)
  }

  /// Ends the text.
  ///
  /// - Returns: The remaining text.
  public mutating func finish() -> String {
    assembler.finish(&pending)
    defer { pending = [] }
    return String(decoding: pending, as: UTF8.self)
  }

  /// The number of bytes at the end that begin an incomplete character.
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
