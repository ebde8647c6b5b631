/// The values of a recipe's variables, and the replacement of `${name}`.
struct RecipeVariables {
  private(set) var values: [Recipe.Variable] = []
  /// The elements of list variables, by name.
  private var lists: [String: [RecipeNode]] = [:]
  private let recipePath: String?

  /// Reads the `variables` key; a value can use the variables above it.
  ///
  /// - Throws: `PassError.recipe` when a name or a value cannot be used.
  init(of root: RecipeNode, recipePath: String?) throws {
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
      values.append(Recipe.Variable(name: member.key, value: try value(member, key)))
    }
  }

  private mutating func value(_ member: RecipeNode.Member, _ key: String) throws -> Recipe.Variable.Value {
    switch member.value.value {
    case .scalar(let text, let style) where !(style == .plain && text.isEmpty) && !member.value.isNull:
      return .text(try fill(text, member.value.origin, key))
    case .list(let elements):
      let filled = try elements.enumerated().map { i, element in
        try fill(element, key: key.appendingKey("\(i)"))
      }
      lists[member.key] = filled
      return .list(
        try filled.enumerated().map { i, element in
          guard case .scalar(let text, let style) = element.value, !(style == .plain && text.isEmpty),
            !element.isNull
          else {
            throw error(element.origin, key.appendingKey("\(i)"), "is \(element.phrase), expected a value")
          }
          return text
        })
    default: throw error(member.value.origin, key, "is \(member.value.phrase), expected a value or a list")
    }
  }

  /// Replaces every `${name}` in a value, and `$${` by `${`.
  func fill(_ node: RecipeNode, key: String = "") throws -> RecipeNode {
    var filled = node
    switch node.value {
    case .scalar(let text, _) where list(text) != nil: filled.value = .list(list(text) ?? [])
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

  /// Returns the elements of the list variable that a whole scalar names.
  private func list(_ text: String) -> [RecipeNode]? {
    guard text.hasPrefix("${"), text.hasSuffix("}") else { return nil }
    return lists[String(text.dropFirst(2).dropLast())]
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
        guard case .text(let value) = variable.value else {
          throw error(origin, key, "has '${\(name)}', a list, beside other text")
        }
        result += value
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
  /// Appends a key to the path.
  func appendingKey(_ key: String) -> String { isEmpty ? key : "\(self).\(key)" }

  /// The text, escaped so that filling in variables gives it back.
  var escapedForFilling: String { replacing("${", with: "$${") }
}
