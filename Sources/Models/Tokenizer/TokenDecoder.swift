/// How tokens become text, as the `decoder` of a `tokenizer.json` describes it.
struct TokenDecoder: Sendable {
  /// One step, from a list of texts to a list of texts.
  enum Step: Sendable {
    /// Every match in a text becomes another text.
    case replace(Pattern, with: [UInt8])
    /// Neighbouring byte tokens become one text; if they are not UTF-8, each becomes U+FFFD.
    case byteFallback
    /// A character is removed at both ends of each text.
    case strip(Strip)
    /// A character becomes a space; if `dropsInFirst` is set, the first text loses it.
    case metaspace(replacement: [UInt8], dropsInFirst: Bool)
    /// A character is removed at both ends of the whole text.
    case stripAll(Strip)
  }

  /// The character that is removed, and the maximum number of times.
  struct Strip: Sendable {
    /// In UTF-8.
    let content: [UInt8]
    let start: Int
    let stop: Int
  }

  /// The steps, in order.
  var steps: [Step] = []
  /// Whether tokens represent bytes by `ByteAlphabet`; there are no other steps.
  var isByteLevel = false
}

/// Joins tokens to a text as they arrive.
///
/// The text is the one that the whole list of tokens gives; what later tokens can change is held back.
struct TextAssembler {
  /// What a step holds back, and how often it still removes something.
  private struct State {
    var held: [UInt8] = []
    var count = 0
    var isFirst = true
  }

  private let steps: [TokenDecoder.Step]
  private let keepsBytes: Bool
  private var states: [State]

  /// Begins a text.
  ///
  /// - Parameters:
  ///   - decoder: The steps.
  ///   - keepsBytes: Whether bytes that are not UTF-8 stay as they are instead of becoming U+FFFD.
  init(_ decoder: TokenDecoder, keepsBytes: Bool = false) {
    steps = decoder.steps
    self.keepsBytes = keepsBytes
    states = decoder.steps.map { step in
      if case .stripAll(let strip) = step { State(count: strip.start) } else { State() }
    }
  }

  /// Appends the text that a token completes.
  mutating func append(_ token: [UInt8], to text: inout [UInt8]) { push(token, 0, &text) }

  /// Ends a run of byte tokens, as a token that is no byte does.
  mutating func endBytes(_ text: inout [UInt8]) {
    for i in steps.indices {
      if case .byteFallback = steps[i] { flushBytes(i, &text) }
    }
  }

  /// Appends the remaining text.
  mutating func finish(_ text: inout [UInt8]) {
    endBytes(&text)
    // What is held at the end of the text is what has to be removed there.
    for i in states.indices { states[i].held = [] }
  }

  private mutating func push(_ token: [UInt8], _ i: Int, _ text: inout [UInt8]) {
    guard i < steps.count else {
      text += token
      return
    }
    switch steps[i] {
    case .replace(let pattern, let content):
      push(pattern.replacingMatches(in: token.span, with: content) ?? token, i + 1, &text)
    case .byteFallback:
      if let byte = Self.byte(of: token) {
        states[i].held.append(byte)
      } else {
        flushBytes(i, &text)
        push(token, i + 1, &text)
      }
    case .strip(let strip): push(strip.applied(to: token), i + 1, &text)
    case .metaspace(let replacement, let dropsInFirst):
      let drops = dropsInFirst && states[i].isFirst
      states[i].isFirst = false
      push(token.replacing(replacement, with: drops ? [] : [UInt8(ascii: " ")]), i + 1, &text)
    case .stripAll(let strip): push(stripping(strip, token, i), i + 1, &text)
    }
  }

  private mutating func flushBytes(_ i: Int, _ text: inout [UInt8]) {
    guard !states[i].held.isEmpty else { return }
    let bytes = states[i].held
    states[i].held = []
    if keepsBytes || (try? UTF8Span(validating: bytes.span)) != nil {
      push(bytes, i + 1, &text)
    } else {
      for _ in bytes { push(Array("\u{FFFD}".utf8), i + 1, &text) }
    }
  }

  /// Returns the part of the whole text that is certain with one more text.
  private mutating func stripping(_ strip: TokenDecoder.Strip, _ token: [UInt8], _ i: Int) -> [UInt8] {
    var token = states[i].held + token
    let leading = strip.count(atStartOf: token, limit: states[i].count)
    token.removeFirst(leading * strip.content.count)
    states[i].count = token.isEmpty ? states[i].count - leading : 0
    let trailing = strip.count(atEndOf: token, limit: strip.stop) * strip.content.count
    states[i].held = Array(token.suffix(trailing))
    return Array(token.dropLast(trailing))
  }

  /// Returns the byte of a token such as `<0x0A>`.
  private static func byte(of token: [UInt8]) -> UInt8? {
    guard token.count == 6, token.starts(with: "<0x".utf8), token[5] == UInt8(ascii: ">") else { return nil }
    return UInt8(String(decoding: token[3..<5], as: UTF8.self), radix: 16)
  }
}

extension TokenDecoder.Strip {
  /// The number of times that a text begins with the character.
  fileprivate func count(atStartOf text: [UInt8], limit: Int) -> Int {
    var count = 0
    while count < limit, text.dropFirst(count * content.count).starts(with: content) { count += 1 }
    return count
  }

  /// The number of times that a text ends with the character.
  fileprivate func count(atEndOf text: [UInt8], limit: Int) -> Int {
    var count = 0
    while count < limit, text.dropLast(count * content.count).suffix(content.count).elementsEqual(content) {
      count += 1
    }
    return count
  }

  fileprivate func applied(to text: [UInt8]) -> [UInt8] {
    let rest = text.dropFirst(count(atStartOf: text, limit: start) * content.count)
    return Array(rest.dropLast(count(atEndOf: Array(rest), limit: stop) * content.count))
  }
}
