/// A `--set name=value`.
struct RecipeOverride {
  /// The keys and indices before the `=`.
  let components: [String]
  /// The text after the `=`.
  let value: String
  /// The argument, for messages.
  let origin: RecipePlace.Origin

  /// Splits an argument.
  init(_ argument: String) throws(PassError) {
    origin = .argument("--set \(argument)")
    guard let equals = argument.firstIndex(of: "="), equals != argument.startIndex else {
      throw .usage("--set \(argument): expected name=value")
    }
    components = argument[..<equals].split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    value = String(argument[argument.index(after: equals)...])
  }
}

extension RecipeNode {
  /// Keys with a path as their value, which is taken from an argument without parsing.
  private static let verbatimKeys = [["input"], ["output"]]

  /// Replaces a value or adds a key at an argument's path.
  ///
  /// A name without a dot is a variable unless it is a key of the recipe.
  ///
  /// - Throws: `PassError.recipe` when the path does not exist or the value is not YAML.
  mutating func apply(_ override: RecipeOverride, recipePath: String?) throws {
    let place = RecipePlace(path: recipePath, origin: override.origin)
    let names = variableNames
    let isVariable = override.components.count == 1 && names.contains(override.components[0])
    if isVariable || Self.verbatimKeys.contains(override.components) {
      let value = RecipeNode(value: .scalar(override.value, .untyped), origin: override.origin)
      return try set((isVariable ? ["variables"] : []) + override.components, to: value, place)
    }
    guard override.components.count > 1 || Recipe.keys.contains(override.components[0]) else {
      throw PassError.recipe(place, unknownName(override.components[0], "variable", among: names))
    }
    do {
      let value = try RecipeNode(yaml: override.value, origin: override.origin)
      try set(override.components, to: value, place)
    } catch let problem as YAMLProblem {
      throw PassError.recipe(place, problem.reason)
    }
  }

  /// Applies the arguments of the command line.
  ///
  /// - Throws: `PassError` when the recipe has no place for an argument.
  mutating func apply(_ arguments: RecipeArguments, recipePath: String?) throws {
    for (key, path) in [("input", arguments.input), ("output", arguments.output)] {
      guard let path else { continue }
      let node = RecipeNode(verbatim: path, .argument(key.uppercased() + " " + path))
      try set([key], to: node, RecipePlace(path: recipePath, origin: node.origin))
    }
    if !arguments.texts.isEmpty {
      guard variableNames.contains(Self.textVariable) else {
        throw PassError.usage(
          "\(recipePath ?? "recipe"): has no variable '\(Self.textVariable)' that --text could set")
      }
      let nodes = arguments.texts.map { RecipeNode(verbatim: $0, .argument("--text \($0)")) }
      let list = RecipeNode(value: .list(nodes), origin: nodes[0].origin)
      try set(["variables", Self.textVariable], to: list, RecipePlace(path: recipePath, origin: list.origin))
    }
    for override in arguments.overrides { try apply(RecipeOverride(override), recipePath: recipePath) }
  }

  /// The variable that `--text` sets.
  private static let textVariable = "text"

  /// Creates a scalar from text without parsing it as YAML.
  private init(verbatim text: String, _ origin: RecipePlace.Origin) {
    self.init(value: .scalar(text.escapedForFilling, .untyped), origin: origin)
  }

  private var variableNames: [String] {
    guard case .map(let members) = self["variables"]?.value else { return [] }
    return members.map(\.key)
  }

  private mutating func set(_ components: [String], to new: RecipeNode, _ place: RecipePlace) throws {
    try set(components[...], to: new, place, parent: "the recipe")
  }

  private mutating func set(
    _ components: ArraySlice<String>, to new: RecipeNode, _ place: RecipePlace, parent: String
  ) throws {
    guard let head = components.first else {
      self = new
      return
    }
    let rest = components.dropFirst()
    let name = components.startIndex == 0 ? head : "\(parent).\(head)"
    switch value {
    case .map(var members):
      if let index = members.firstIndex(where: { $0.key == head }) {
        try members[index].value.set(rest, to: new, place, parent: name)
      } else if rest.isEmpty {
        members.append(Member(key: head, keyOrigin: new.origin, value: new))
      } else {
        throw PassError.recipe(place, unknownName(head, "key", in: parent, among: members.map(\.key)))
      }
      value = .map(members)
    case .list(var elements):
      guard let index = Int(head), elements.indices.contains(index) else {
        throw PassError.recipe(place, "\(parent) has \(elements.count) entries from 0, there is no '\(head)'")
      }
      try elements[index].set(rest, to: new, place, parent: name)
      value = .list(elements)
    case .scalar:
      throw PassError.recipe(place, "\(parent) is \(phrase), there is no '\(head)' in it")
    }
  }
}

/// Returns the message about an unknown name.
func unknownName(_ name: String, _ what: String, in parent: String? = nil, among names: [String]) -> String {
  "there is no \(what) '\(name)'" + (parent.map { " in \($0)" } ?? "")
    + (nearestName(to: name, among: names).map { ", the nearest is '\($0)'" } ?? "")
}
