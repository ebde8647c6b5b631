import Checkpoints

/// Reading the `pre_tokenizer` of a `tokenizer.json`.
extension PreTokenizer {
  /// Reads the component of a document; nil leaves a text whole.
  ///
  /// - Throws: `FormatError`.
  init(_ component: TokenizerComponent?) throws {
    if let component { try append(component) }
  }

  private mutating func append(_ component: TokenizerComponent) throws {
    let type = try component.type()
    if type == "Sequence" {
      try component.allow(["type", "pretokenizers"])
      for part in try component.components("pretokenizers") { try append(part) }
      return
    }
    guard !endsInBytes else { throw component.unsupported("a pre_tokenizer after ByteLevel") }
    switch type {
    case "ByteLevel": try appendByteLevel(component)
    case "Metaspace":
      let metaspace = try Metaspace(component)
      steps.append(.metaspace(metaspace))
      if metaspace.splits { steps.append(.split(try SplitRule(beforeEach: metaspace, component))) }
    case "Split": steps.append(.split(try SplitRule(split: component)))
    case "Digits": steps.append(.split(try SplitRule(digits: component)))
    case "WhitespaceSplit": steps.append(.split(try SplitRule(whiteSpace: component)))
    default: throw component.unsupported("'\(type)'")
    }
  }

  private mutating func appendByteLevel(_ component: TokenizerComponent) throws {
    try component.checkByteLevel()
    if try component.bool("add_prefix_space") { steps.append(.prefixSpace) }
    if try component.bool("use_regex", default: true) {
      let pattern = try component.pattern { () throws(PatternError) in
        try Pattern(regex: Self.byteLevelRegex)
      }
      steps.append(.split(SplitRule(pattern: pattern, behavior: .isolated, isInverted: false)))
    }
    endsInBytes = true
  }
}

extension SplitRule {
  fileprivate init(split component: TokenizerComponent) throws {
    try component.allow(["type", "pattern", "behavior", "invert"])
    let name = try component.string("behavior")
    guard let behavior = Behavior(rawValue: name) else { throw component.unsupported("behavior '\(name)'") }
    pattern = try component.matchPattern().pattern
    self.behavior = behavior
    isInverted = try component.bool("invert")
  }

  fileprivate init(digits component: TokenizerComponent) throws {
    try component.allow(["type", "individual_digits"])
    let digit = PatternNode.set(ScalarSet(.digits))
    let isIndividual = try component.bool("individual_digits")
    pattern = try component.pattern { () throws(PatternError) in
      try Pattern(isIndividual ? digit : .repetition(digit, .init(minimum: 1, maximum: .max)))
    }
    behavior = .isolated
    isInverted = false
  }

  /// Cuts at white space, which is left out.
  fileprivate init(whiteSpace component: TokenizerComponent) throws {
    try component.allow(["type"])
    pattern = try component.pattern { () throws(PatternError) in try Pattern(.set(.whiteSpace)) }
    behavior = .removed
    isInverted = false
  }

  /// Cuts before each character that stands for a space.
  fileprivate init(beforeEach metaspace: Metaspace, _ component: TokenizerComponent) throws {
    pattern = try component.pattern { () throws(PatternError) in
      try Pattern(literal: String(decoding: metaspace.replacement, as: UTF8.self))
    }
    behavior = .mergedWithNext
    isInverted = false
  }
}

extension TokenizerComponent {
  /// Reads the `pattern` of this component: `{"Regex"}` or `{"String"}`.
  ///
  /// - Returns: The pattern, and its text if it is a `String`.
  func matchPattern() throws -> (pattern: Pattern, literal: String?) {
    let source = try require("pattern")
    try source.allow(["Regex", "String"])
    guard source.json.object?.count == 1 else { throw source.malformed("is neither a Regex nor a String") }
    let isRegex = source.json["Regex"] != nil
    let text = try source.string(isRegex ? "Regex" : "String")
    let pattern = try source.pattern { () throws(PatternError) in
      isRegex ? try Pattern(regex: text) : try Pattern(literal: text)
    }
    return (pattern, isRegex ? nil : text)
  }

  fileprivate func pattern(_ make: () throws(PatternError) -> Pattern) throws -> Pattern {
    do {
      return try make()
    } catch {
      throw refused(error)
    }
  }
}
