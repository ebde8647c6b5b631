import Yams

/// An error in a YAML text, with the line if it is known.
struct YAMLProblem: Error {
  let line: Int?
  let key: String?
  let reason: String
}

extension RecipeNode {
  /// The maximum size of a recipe in bytes.
  static let byteLimit = 1 << 20
  /// The maximum number of values after aliases are expanded; stops texts that grow exponentially.
  static let nodeLimit = 10_000
  /// The maximum number of aliases.
  ///
  /// The parser expands those in keys, so this number gives at most 150,000 values.
  static let aliasLimit = 32

  /// Reads one YAML document.
  ///
  /// - Parameters:
  ///   - yaml: The text; an empty text reads as an empty scalar.
  ///   - origin: The origin of every value; nil uses each value's line.
  /// - Throws: `YAMLProblem` when the text is not a single document of scalars, lists and maps.
  init(yaml: String, origin: RecipePlace.Origin? = nil) throws(YAMLProblem) {
    guard yaml.utf8.count <= Self.byteLimit else {
      throw YAMLProblem(line: nil, key: nil, reason: "is larger than \(Self.byteLimit) bytes")
    }
    guard Self.aliasCount(of: yaml) <= Self.aliasLimit else {
      throw YAMLProblem(line: nil, key: nil, reason: "has more than \(Self.aliasLimit) aliases")
    }
    let root: Node?
    do {
      // The basic resolver leaves every plain scalar as text; its meaning is decided here.
      root = try Parser(yaml: yaml, resolver: .basic, encoding: .utf8).singleRoot()
    } catch {
      throw YAMLProblem(error, lineCount: 1 + yaml.dropLast().count(where: \.isNewline))
    }
    guard let root else {
      self.init(value: .scalar("", .plain), origin: origin ?? .line(1))
      return
    }
    var conversion = NodeConversion(origin: origin)
    self = try conversion.convert(root)
  }
}

extension RecipeNode {
  /// Counts the places where an alias can be: a `*` where a value can begin, followed by the first byte of a
  /// name.
  private static func aliasCount(of yaml: String) -> Int {
    let bytes = Array(yaml.utf8)
    return bytes.indices.count { i in
      bytes[i] == UInt8(ascii: "*") && i + 1 < bytes.count && isNameByte(bytes[i + 1])
        && (i == 0 || isBeforeValue(bytes[i - 1]))
    }
  }

  /// Whether a value can follow a byte; bytes beyond ASCII can end a Unicode line break.
  private static func isBeforeValue(_ byte: UInt8) -> Bool {
    byte >= 0x80 || " \t\r\n[{,:?-".utf8.contains(byte)
  }

  private static func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "_"), UInt8(ascii: "-"):
      true
    default: false
    }
  }
}

/// Converts the parser's nodes and counts them.
private struct NodeConversion {
  let origin: RecipePlace.Origin?
  var nodeCount = 0

  mutating func convert(_ node: Node) throws(YAMLProblem) -> RecipeNode {
    nodeCount += 1
    guard nodeCount <= RecipeNode.nodeLimit else {
      throw problem(node, "has more than \(RecipeNode.nodeLimit) values")
    }
    switch node {
    case .scalar(let scalar):
      let isTagged = scalar.tag.rawValue != ""
      if isTagged, scalar.tag.rawValue != Tag.Name.str.rawValue {
        throw problem(node, "tags are not supported")
      }
      let style: RecipeNode.Style = scalar.style == .plain && !isTagged ? .plain : .quoted
      return RecipeNode(value: .scalar(scalar.string, style), origin: place(of: node))
    case .sequence(let sequence):
      guard sequence.tag.rawValue == "" else { throw problem(node, "tags are not supported") }
      var elements: [RecipeNode] = []
      for element in sequence { elements.append(try convert(element)) }
      return RecipeNode(value: .list(elements), origin: place(of: node))
    case .mapping(let mapping):
      guard mapping.tag.rawValue == "" else { throw problem(node, "tags are not supported") }
      return RecipeNode(value: .map(try members(of: mapping)), origin: place(of: node))
    case .alias:
      throw problem(node, "aliases are not supported here")
    }
  }

  private mutating func members(of mapping: Node.Mapping) throws(YAMLProblem) -> [RecipeNode.Member] {
    var members: [RecipeNode.Member] = []
    for (key, value) in mapping {
      guard case .scalar(let name) = key else { throw problem(key, "has a list or a map as a key") }
      let value = try convert(value)
      members.append(RecipeNode.Member(key: name.string, keyOrigin: place(of: key), value: value))
    }
    return members
  }

  private func place(of node: Node) -> RecipePlace.Origin { origin ?? .line(node.mark?.line ?? 1) }

  private func problem(_ node: Node, _ reason: String) -> YAMLProblem {
    YAMLProblem(line: node.mark?.line, key: nil, reason: reason)
  }
}

extension YAMLProblem {
  /// Converts an error of the parser to one line; the parser reports the end of the text one line too far.
  fileprivate init(_ error: any Error, lineCount: Int) {
    switch error as? YamlError {
    case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
      .composer(let context, let problem, let mark, _):
      self.init(
        line: min(mark.line, lineCount), key: nil,
        reason: [context?.text, problem].compactMap(\.self).joined(separator: ", "))
    case .reader(let problem, let offset, _, let yaml):
      let line = offset.map { 1 + yaml.prefix($0).count(where: \.isNewline) }
      self.init(line: line, key: nil, reason: problem)
    case .duplicatedKeysInMapping(let keys, let context):
      self.init(line: context.mark.line, key: keys.first, reason: "is given more than once")
    default:
      self.init(line: nil, key: nil, reason: "is not YAML")
    }
  }
}
