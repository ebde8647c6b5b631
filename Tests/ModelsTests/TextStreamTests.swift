import Checkpoints
import Models
import TestSupport
import Testing

@Suite struct TextStreamTests {
  private func tokenizer() throws -> Tokenizer {
    try Tokenizer(contentsOf: Fixtures.path("tiny-llama/tokenizer.json"))
  }

  @Test(arguments: ["In the beginning", "naïve – 🙂🚀 ok", "日本語", "e\u{301}"])
  func `the parts are the text, and none ends inside a character`(text: String) throws {
    let tokenizer = try tokenizer()
    var stream = TextStream(tokenizer)
    var parts = tokenizer.encode(text).map { stream.append($0) }
    parts.append(stream.finish())
    #expect(parts.joined() == text)
    #expect(!parts.joined().unicodeScalars.contains("\u{FFFD}"))
  }

  @Test func `a character that is cut off becomes a replacement at the end`() throws {
    let tokenizer = try tokenizer()
    var stream = TextStream(tokenizer)
    let tokens = tokenizer.encode("🙂").dropLast()
    try #require(!tokens.isEmpty)
    #expect(tokens.map { stream.append($0) }.joined().isEmpty)
    #expect(stream.finish() == "\u{FFFD}")
    #expect(stream.finish().isEmpty)
  }

  @Test func `special tokens do not show`() throws {
    var stream = TextStream(try tokenizer())
    #expect(stream.append(0).isEmpty && stream.append(1).isEmpty)
  }
}
