import Yams

/// The YAML block at the top of a model card, which the hubs read, and the text after it.
struct CardFrontMatter {
  private static let delimiter = "---"
  private static let byteLimit = 64 << 10

  private var mapping: Node.Mapping
  /// The card without its front matter.
  let body: String

  /// Takes a card apart.
  ///
  /// Front matter that is larger than 64 KiB, has anchors or is no map stays in the text: it is not
  /// understood, and nothing of a card is dropped.
  ///
  /// - Parameter card: The card; an empty text has neither front matter nor body.
  init(_ card: String) {
    let lines = card.split(separator: "\n", omittingEmptySubsequences: false)
    func isDelimiter(_ line: Substring) -> Bool { line.trimmingSuffix { $0.isWhitespace } == Self.delimiter }
    if let first = lines.first, isDelimiter(first),
      let end = lines.dropFirst().firstIndex(where: isDelimiter),
      let mapping = Self.mapping(lines[1..<end].joined(separator: "\n"))
    {
      self.mapping = mapping
      body = lines[(end + 1)...].joined(separator: "\n")
    } else {
      mapping = Node.Mapping([])
      body = card
    }
  }

  private static func mapping(_ yaml: String) -> Node.Mapping? {
    guard yaml.utf8.count <= byteLimit, !hasAnchors(yaml) else { return nil }
    let root = try? Parser(yaml: yaml, resolver: .default, encoding: .utf8).singleRoot()
    return root?.mapping
  }

  /// Whether a value begins with an anchor or an alias, which could stand for exponentially much.
  private static func hasAnchors(_ yaml: String) -> Bool {
    yaml.contains(#/(^|[\s\[{,:-])[&*][A-Za-z0-9_]/#)
  }

  /// Whether there is no key.
  var isEmpty: Bool { mapping.isEmpty }

  /// The texts of a key: one, or those of a list.
  func texts(_ key: String) -> [String] {
    guard let node = mapping[Node(key)] else { return [] }
    return node.scalar.map { [$0.string] } ?? (node.sequence ?? []).compactMap { $0.scalar?.string }
  }

  /// Sets a key to a text.
  mutating func set(_ key: String, to text: String) { mapping[Node(key)] = Node(text) }

  /// Sets a key to a text unless the card has the key.
  mutating func setIfMissing(_ key: String, to text: String) {
    if mapping[Node(key)] == nil { set(key, to: text) }
  }

  /// Adds the texts that the list of a key lacks.
  mutating func add(_ texts: [String], to key: String) {
    var all = self.texts(key)
    for text in texts where !all.contains(text) { all.append(text) }
    mapping[Node(key)] = Node(all.map { Node($0) })
  }

  /// The front matter with its delimiters.
  ///
  /// - Throws: An error of the emitter; no map that was read or made here gives one.
  func text() throws -> String {
    let yaml = try serialize(node: .mapping(mapping), width: -1, allowUnicode: true)
    return "\(Self.delimiter)\n\(yaml)\(Self.delimiter)\n"
  }
}

extension Substring {
  fileprivate func trimmingSuffix(while predicate: (Character) -> Bool) -> Substring {
    var text = self
    while let last = text.last, predicate(last) { text.removeLast() }
    return text
  }
}
