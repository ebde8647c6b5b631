/// The values of a recipe's variables, and the filling in of `${name}`.
struct RecipeVariables {
  private(set) var values: [Recipe.Variable] = []
  private let recipePath: String

  /// Reads the `variables` key; a value may use the variables above it.
  ///
  /// - Throws: `PassError.recipe` when a name or a value cannot be used.
  init(of root: RecipeNode, recipePath: String) throws {
    self.recipePath = recipePath
    guard let node = root["variables"] else { return }
    guard case .map(let members) = node.value else {
      throw error(node.origin, "variables", "is \(node.phrase), expected a map of names and values")
    }
    for member in members {
      let key = "variables.\(member.key)"
      guard member.key.wholeMatch(of: /[A-Za-z_][A-Za-z0-9_]*/) != nil else {
        throw error(member.keyOrigin, key, "is not a name of letters, digits and '_'")
      }
      guard !Recipe.keys.contains(member.key) else {
        throw error(member.keyOrigin, key, "is the name of a key of the recipe")
      }
      guard case .scalar(let text, let style) = member.value.value, !(style == .plain && text.isEmpty),
        !member.value.isNull
      else {
        throw error(member.value.origin, key, "is \(member.value.phrase), expected a value")
      }
      values.append(Recipe.Variable(name: member.key, value: try fill(text, member.value.origin, key)))
    }
  }

  /// The value with every `${name}` in it replaced, and `$${` by `${`.
  func fill(_ node: RecipeNode, key: String = "") throws -> RecipeNode {
    var filled = node
    switch node.value {
    case .scalar(let text, let style):
      let result = try fill(text, node.origin, key)
      filled.value = .scalar(result, result == text ? style : .untyped)
    case .list(let elements):
      filled.value = .list(
        try elements.enumerated().map { i, element in try fill(element, key: key.appendingKey("\(i)")) })
    case .map(let members):
      filled.value = .map(
        try members.map { member in
          let value = try fill(member.value, key: key.appendingKey(member.key))
          return RecipeNode.Member(key: member.key, keyOrigin: member.keyOrigin, value: value)
        })
    }
    return filled
  }

  private func fill(_ text: String, _ origin: RecipePlace.Origin, _ key: String) throws -> String {
    var result = ""
    var rest = text[...]
    while let dollar = rest.firstIndex(of: "$") {
      result += rest[..<dollar]
      rest = rest[dollar...]
      if rest.hasPrefix("$${") {
        result += "${"
        rest = rest.dropFirst(3)
      } else if rest.hasPrefix("${") {
        guard let end = rest.firstIndex(of: "}") else { throw error(origin, key, "has '${' without '}'") }
        let name = String(rest[..<end].dropFirst(2))
        guard let variable = values.first(where: { $0.name == name }) else {
          throw error(origin, key, unknownName(name, "variable", among: values.map(\.name)))
        }
        result += variable.value
        rest = rest[end...].dropFirst()
      } else {
        result += "$"
        rest = rest.dropFirst()
      }
    }
    return result + rest
  }

  private func error(_ origin: RecipePlace.Origin, _ key: String, _ reason: String) -> PassError {
    .recipe(RecipePlace(path: recipePath, origin: origin, key: key), reason)
  }
}

extension String {
  /// The path of keys one deeper.
  func appendingKey(_ key: String) -> String { isEmpty ? key : "\(self).\(key)" }

  /// The text as a recipe must give it, so that filling in leaves this.
  var escapedForFilling: String { replacing("${", with: "$${") }
}
