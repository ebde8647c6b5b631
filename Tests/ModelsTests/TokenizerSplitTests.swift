import Checkpoints
import Models
import Testing

/// How text is cut into words.
@Suite struct TokenizerSplitTests {
  static let gpt2 = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
  static let llama3 =
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  static let qwen2 =
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#

  static func words(_ preTokenizer: JSONValue, _ text: String) throws -> [String] {
    let document = TokenizerFixtures.document("pre_tokenizer", setting: preTokenizer)
    return try TokenizerFixtures.tokenizer(document).words(of: text)
  }

  static func words(regex: String, _ text: String) throws -> [String] {
    let split = TokenizerFixtures.split("Regex", regex, "Isolated")
    return try words(
      TokenizerFixtures.sequence(split, TokenizerFixtures.byteLevel(regex: false)), text)
  }

  @Test(arguments: [
    ("Hello  world 123!", ["Hello", " ", " world", " 123", "!"]), ("it's I'M", ["it", "'s", " I", "'", "M"]),
    ("a \n\n b  ", ["a", " \n\n", " b", "  "]), ("½x", ["½", "x"]),
  ])
  func `cuts as GPT-2`(text: String, expected: [String]) throws {
    #expect(try Self.words(TokenizerFixtures.byteLevel(), text) == expected)
    #expect(try Self.words(regex: Self.gpt2, text) == expected)
  }

  @Test(arguments: [
    ("1234567", ["123", "456", "7"]), ("I'M it'ſ", ["I", "'M", " it", "'ſ"]),
    ("a \n\n b  c", ["a", " \n\n", " b", " ", " c"]), ("x.\n\ny", ["x", ".\n\n", "y"]),
    ("(word", ["(word"]), ("e\u{301}x", ["e", "\u{301}x"]),
  ])
  func `cuts as Llama 3`(text: String, expected: [String]) throws {
    #expect(
      try Self.words(regex: Self.llama3, text).map { Array($0.utf8) } == expected.map { Array($0.utf8) })
  }

  @Test func `cuts as Qwen 2`() throws {
    #expect(try Self.words(regex: Self.qwen2, "in 2024") == ["in", " ", "2", "0", "2", "4"])
  }

  @Test(arguments: [
    ("Isolated", false, ["a", "-", "-", "b", "-"]), ("Removed", false, ["a", "b"]),
    ("MergedWithPrevious", false, ["a-", "-", "b-"]), ("MergedWithNext", false, ["a", "-", "-b", "-"]),
    ("Contiguous", false, ["a", "--", "b", "-"]), ("Isolated", true, ["a", "-", "-", "b", "-"]),
    ("Removed", true, ["-", "-", "-"]), ("MergedWithPrevious", true, ["a", "-", "-b", "-"]),
    ("MergedWithNext", true, ["a-", "-", "b-"]), ("Contiguous", true, ["a", "--", "b", "-"]),
  ])
  func `treats matches as told`(behavior: String, invert: Bool, expected: [String]) throws {
    for kind in ["Regex", "String"] {
      let split = TokenizerFixtures.split(kind, "-", behavior, invert: invert)
      let preTokenizer = TokenizerFixtures.sequence(split, TokenizerFixtures.byteLevel(regex: false))
      #expect(try Self.words(preTokenizer, "a--b-") == expected, "\(kind)")
    }
  }

  @Test(arguments: [(true, ["a", "1", "२", "½", "b"]), (false, ["a", "1२½", "b"])])
  func `splits digits off`(individual: Bool, expected: [String]) throws {
    let digits = JSONValue.object([
      .init("type", .string("Digits")), .init("individual_digits", .bool(individual)),
    ])
    let preTokenizer = TokenizerFixtures.sequence(digits, TokenizerFixtures.byteLevel(regex: false))
    #expect(try Self.words(preTokenizer, "a1२½b") == expected)
  }

  @Test func `puts a space before the text`() throws {
    let preTokenizer = TokenizerFixtures.byteLevel(prefixSpace: true)
    #expect(try Self.words(preTokenizer, "a b") == [" a", " b"])
    #expect(try Self.words(preTokenizer, " a b") == [" a", " b"])
    #expect(try Self.words(preTokenizer, "") == [])
  }

  @Test(arguments: [
    (#"[a-c\]\-]+"#, "xab]-cx", ["x", "ab]-c", "x"]), (#"[^a-c]"#, "abxc", ["ab", "x", "c"]),
    (#"(?:ab){1,2}"#, "xababab", ["x", "abab", "ab"]), (#"a?b"#, "aab", ["a", "ab"]),
    (#"a++b|a"#, "aaac", ["a", "a", "a", "c"]), (#"a+a"#, "aaab", ["aaa", "b"]),
    (#"a*+a|c"#, "aac", ["aa", "c"]),
    (#"\p{Lu}\p{Ll}*"#, "fooBarBaz", ["foo", "Bar", "Baz"]), (#"\P{L}+"#, "a12b", ["a", "12", "b"]),
    (#"[一-龥]+"#, "a日本b", ["a", "日本", "b"]), (#"'(?i:[st]|ll)"#, "a'Sb'LL", ["a", "'S", "b", "'LL"]),
    (#"a{2}"#, "aaaaa", ["aa", "aa", "a"]), (#"a{2,}"#, "abaaa", ["ab", "aaa"]),
    (#"(a|b)c"#, "abc", ["a", "bc"]),
    (#"[\S]"#, "a b", ["a", " ", "b"]), (#"(?i:k)"#, "x\u{212A}x", ["x", "\u{212A}", "x"]),
  ])
  func `understands expressions`(regex: String, text: String, expected: [String]) throws {
    let words = try Self.words(regex: regex, text)
    #expect(words.map { Array($0.utf8) } == expected.map { Array($0.utf8) })
  }

  /// Tried one after the other, the ways to divide the letters among the groups would take years.
  @Test(
    .timeLimit(.minutes(1)), arguments: ["(?:a?){0,40}c", "(?:a|aa|a{1,3}){1,40}c", "a*a*a*a*a*a*a*a*a*a*c"])
  func `an expression with many ways to fail takes no exponential time`(regex: String) throws {
    let letters = String(repeating: "a", count: 80)
    #expect(try Self.words(regex: regex, letters + "baaac") == [letters + "b", "aaac"])
    #expect(try Self.words(regex: "(?!" + regex + ")[ab]", letters + "b").count == 81)
  }

  @Test(arguments: [
    "a.b", "^a", "a$", #"\bx"#, #"\w+"#, "(?<=a)b", "(?=a)b", "(?<name>a)", "a+?b", "a{1,2}+", "(ab)+",
    "(?:a|b)*c",
    "a**", "[a[b]]", "[a&&b]", "[]a]", "[a-]b-c]", "[b-a]", "(?i:ß)", "(?i:ss)", "(?i:[^a])", #"(?i:\p{L})"#,
    #"\p{Han}"#,
    #"\p{}"#, "a*", "(?!a)", "(a", "a)", "[a", "a{2,1}", "a{9999}", "(?:ab){1000}", "a{x}", "a|", #"\"#,
    #"\p{L"#, #"\x41"#,
    String(repeating: "(", count: 100) + "a",
  ])
  func `refuses expressions it does not understand`(regex: String) throws {
    #expect(throws: FormatError.self) { try Self.words(regex: regex, "a") }
  }

  @Test func `composes text for NFC`() throws {
    let nfc = JSONValue.object([.init("type", .string("NFC"))])
    let tokenizer = try TokenizerFixtures.tokenizer(TokenizerFixtures.document("normalizer", setting: nfc))
    #expect(tokenizer.encode("e\u{301}") == [0xC3, 0xA9])
  }
}
