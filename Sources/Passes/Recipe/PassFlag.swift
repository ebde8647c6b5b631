/// A command line flag for a key of a pass, checked by the same rules as the key.
public struct PassFlag: Sendable, Equatable {
  /// The key it sets: `group_size`.
  public let key: String
  let values: [String]
  private let kind: Kind

  private enum Kind { case one, list, map }

  /// Creates a flag with one value; a switch has `true` or `false`.
  public init(_ key: String, _ value: String) {
    self.key = key
    values = [value]
    kind = .one
  }

  /// Creates a repeatable flag for a key whose value is a list.
  public init(_ key: String, list values: [String]) {
    self.key = key
    self.values = values
    kind = .list
  }

  /// Creates a repeatable flag for a key whose value is a map, with entries `name=value`; the last of equal
  /// names wins.
  public init(_ key: String, map entries: [String]) {
    self.key = key
    values = entries
    kind = .map
  }

  /// The flag as it is typed: `--group-size`.
  public var name: String { "--" + key.replacing("_", with: "-") }

  var member: RecipeNode.Member {
    let origin = RecipePlace.Origin.argument(([name] + values).joined(separator: " "))
    func scalar(_ text: String) -> RecipeNode { RecipeNode(value: .scalar(text, .untyped), origin: origin) }
    let value: RecipeNode
    switch kind {
    case .one: value = scalar(values[0])
    case .list: value = RecipeNode(value: .list(values.map(scalar)), origin: origin)
    case .map:
      var members: [RecipeNode.Member] = []
      for entry in values {
        let parts = entry.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(
          String.init)
        members.removeAll { $0.key == parts[0] }
        members.append(
          RecipeNode.Member(key: parts[0], keyOrigin: origin, value: scalar(parts.count > 1 ? parts[1] : "")))
      }
      value = RecipeNode(value: .map(members), origin: origin)
    }
    return RecipeNode.Member(key: key, keyOrigin: origin, value: value)
  }
}
