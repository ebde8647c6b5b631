import Checkpoints

/// Reading the `normalizer` of a `tokenizer.json`.
extension Normalizer {
  /// Reads the component of a document; nil changes nothing.
  ///
  /// - Throws: `FormatError`.
  init(_ component: TokenizerComponent?) throws {
    if let component { try append(component) }
  }

  private mutating func append(_ component: TokenizerComponent) throws {
    let type = try component.type()
    if let form = Form(rawValue: type) {
      try component.allow(["type"])
      return steps.append(.form(form))
    }
    switch type {
    case "Sequence":
      try component.allow(["type", "normalizers"])
      for part in try component.components("normalizers") { try append(part) }
    case "Lowercase":
      try component.allow(["type"])
      steps.append(.lowercase)
    case "Strip":
      try component.allow(["type", "strip_left", "strip_right"])
      steps.append(
        .strip(left: try component.bool("strip_left"), right: try component.bool("strip_right")))
    case "StripAccents":
      try component.allow(["type"])
      steps.append(.stripAccents)
    case "Prepend":
      try component.allow(["type", "prepend"])
      steps.append(.prepend(Array(try component.string("prepend").utf8)))
    case "Replace":
      try component.allow(["type", "pattern", "content"])
      let (pattern, _) = try component.matchPattern()
      steps.append(.replace(pattern, with: Array(try component.string("content").utf8)))
    default: throw component.unsupported("'\(type)'")
    }
  }
}
