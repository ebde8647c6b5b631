import Checkpoints

/// Reading the `decoder` of a `tokenizer.json`.
extension TokenDecoder {
  /// Reads the component of a document.
  ///
  /// - Throws: `FormatError`.
  init(_ component: TokenizerComponent) throws {
    var isFused = false
    try append(component, &isFused)
  }

  private mutating func append(_ component: TokenizerComponent, _ isFused: inout Bool) throws {
    let type = try component.type()
    if type == "Sequence" {
      try component.allow(["type", "decoders"])
      for part in try component.components("decoders") { try append(part, &isFused) }
      return
    }
    guard !isByteLevel || type == "Fuse" else {
      throw component.unsupported("a decoder after ByteLevel")
    }
    switch type {
    case "ByteLevel":
      try component.checkByteLevel()
      guard steps.isEmpty, !isFused else { throw component.unsupported("ByteLevel after another decoder") }
      isByteLevel = true
    case "Fuse":
      try component.allow(["type"])
      isFused = true
    case "ByteFallback":
      try component.allow(["type"])
      guard !isFused else { throw component.unsupported("ByteFallback after Fuse") }
      steps.append(.byteFallback)
    case "Replace":
      try component.allow(["type", "pattern", "content"])
      let (pattern, literal) = try component.matchPattern()
      // Fused texts are never in memory as a whole; a match must be within one of them.
      guard !isFused || literal?.unicodeScalars.count == 1 else {
        throw component.unsupported("after Fuse, a Replace of anything but one character")
      }
      steps.append(.replace(pattern, with: Array(try component.string("content").utf8)))
    case "Strip":
      try component.allow(["type", "content", "start", "stop"])
      let strip = try Strip(component)
      steps.append(isFused ? .stripAll(strip) : .strip(strip))
    case "Metaspace":
      let metaspace = try Metaspace(component)
      guard !isFused else { throw component.unsupported("Metaspace after Fuse") }
      steps.append(
        .metaspace(replacement: metaspace.replacement, dropsInFirst: metaspace.scheme != .never))
    default: throw component.unsupported("'\(type)'")
    }
  }
}

extension TokenDecoder.Strip {
  /// More than any text has; keeps products within range.
  private static let limit = 1 << 20

  fileprivate init(_ component: TokenizerComponent) throws {
    let text = try component.string("content")
    guard text.unicodeScalars.count == 1 else { throw component.malformed("content is not one character") }
    content = Array(text.utf8)
    start = try component.integer("start")
    stop = try component.integer("stop")
    guard (0...Self.limit).contains(start), (0...Self.limit).contains(stop) else {
      throw component.malformed("start and stop are not from 0 to \(Self.limit)")
    }
  }
}
