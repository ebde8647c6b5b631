/// A command line flag that stands for a key of a pass, so that both are checked by the same rules.
public struct PassFlag: Sendable, Equatable {
  /// The key it sets: `group_size`.
  public let key: String
  let values: [String]
  let isList: Bool

  /// A flag with one value; a switch has `true` or `false`.
  public init(_ key: String, _ value: String) {
    self.key = key
    values = [value]
    isList = false
  }

  /// A flag that may be repeated, for a key whose value is a list.
  public init(_ key: String, list values: [String]) {
    self.key = key
    self.values = values
    isList = true
  }

  /// The flag as it is typed: `--group-size`.
  public var name: String { "--" + key.replacing("_", with: "-") }

  fileprivate var member: RecipeNode.Member {
    let origin = RecipePlace.Origin.argument(([name] + values).joined(separator: " "))
    let scalars = values.map { RecipeNode(value: .scalar($0, .untyped), origin: origin) }
    let value = isList ? RecipeNode(value: .list(scalars), origin: origin) : scalars[0]
    return RecipeNode.Member(key: key, keyOrigin: origin, value: value)
  }
}

extension PassOptions {
  /// Reads the options of a pass from flags; relative paths start from the current folder.
  ///
  /// - Parameters:
  ///   - name: One of `names`.
  ///   - flags: The flags that were given, each key once.
  ///   - previous: The passes that come before it.
  /// - Throws: `PassError.recipe` that names the flag.
  public init(name: String, flags: [PassFlag], after previous: [PassOptions] = []) throws {
    let node = RecipeNode(value: .map(flags.map(\.member)), origin: .argument("rilq \(name)"))
    try self.init(
      name: name, reading: RecipeReader(node: node, recipePath: nil, key: ""), after: previous)
  }
}
