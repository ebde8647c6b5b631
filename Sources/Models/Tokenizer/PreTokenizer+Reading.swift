import Checkpoints

/// Reading the `pre_tokenizer` of a `tokenizer.json`.
extension PreTokenizer {
  /// Reads the component of a document.
  ///
  /// - Throws: `FormatError`, also when the component does not turn the text into bytes at its end.
  init(_ root: TokenizerComponent) throws {
    self.init()
    guard let component = try root.component("pre_tokenizer") else {
      throw root.unsupported("a tokenizer without a ByteLevel pre_tokenizer")
    }
    var endsInBytes = false
    try append(component, endsInBytes: &endsInBytes)
    guard endsInBytes else { throw component.unsupported("a pre_tokenizer that does not end in ByteLevel") }
  }

  private mutating func append(_ component: TokenizerComponent, endsInBytes: inout Bool) throws {
    guard !endsInBytes else { throw component.unsupported("a pre_tokenizer after ByteLevel") }
    switch try component.type() {
    case "Sequence":
      try component.allow(["type", "pretokenizers"])
      for part in try component.components("pretokenizers") { try append(part, endsInBytes: &endsInBytes) }
    case "ByteLevel":
      try component.checkByteLevel()
      addsPrefixSpace = try component.bool("add_prefix_space")
      if try component.bool("use_regex", default: true) {
        let pattern = try component.pattern { () throws(PatternError) in
          try Pattern(regex: Self.byteLevelRegex)
        }
        byteLevelRule = SplitRule(pattern: pattern, behavior: .isolated, isInverted: false)
      }
      endsInBytes = true
    case "Split": rules.append(try SplitRule(split: component))
    case "Digits": rules.append(try SplitRule(digits: component))
    case let type: throw component.unsupported("'\(type)'")
    }
  }
}

extension SplitRule {
  fileprivate init(split component: TokenizerComponent) throws {
    try component.allow(["type", "pattern", "behavior", "invert"])
    let name = try component.string("behavior")
    guard let behavior = Behavior(rawValue: name) else { throw component.unsupported("behavior '\(name)'") }
    let source = try component.require("pattern")
    try source.allow(["Regex", "String"])
    guard source.json.object?.count == 1 else { throw source.malformed("is neither a Regex nor a String") }
    let isRegex = source.json["Regex"] != nil
    let text = try source.string(isRegex ? "Regex" : "String")
    pattern = try source.pattern { () throws(PatternError) in
      isRegex ? try Pattern(regex: text) : try Pattern(literal: text)
    }
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
}

extension TokenizerComponent {
  fileprivate func pattern(_ make: () throws(PatternError) -> Pattern) throws -> Pattern {
    do {
      return try make()
    } catch {
      throw refused(error)
    }
  }
}
