public import Checkpoints

extension Recipe {
  /// Returns the recipe with every option, as an output records it.
  ///
  /// Paths are as they were given. The document is a valid recipe, since JSON is YAML.
  public func resolvedJSON() -> JSONValue {
    var members: [JSONValue.Member] = [
      .init("input", .recipeText(input.written)),
      .init("output", .recipeText(output.written)),
      .init("to", .string(outputFormat.rawValue)),
    ]
    if !variables.isEmpty {
      let values = variables.map { JSONValue.Member($0.name, $0.value.json) }
      members.append(.init("variables", .object(values)))
    }
    let entries = passes.map { JSONValue.object([.init($0.name, $0.options)]) }
    members.append(.init("passes", .array(entries)))
    return .object(members)
  }

  /// Returns the recipe as YAML with every option; reading it gives an equal recipe.
  ///
  /// The exception are relative paths given with `--set`, which are then read relative to the recipe's
  /// folder. `moved(to:)` adapts such paths.
  public func resolvedYAML() -> String { resolvedJSON().yamlText }

  /// Rewrites relative paths for a recipe file in another folder.
  ///
  /// - Parameter path: The path of the new recipe file.
  /// - Returns: A recipe that reads and writes the same files.
  public func moved(to path: String) -> Recipe {
    let folder = path.folderOfPath
    return Recipe(
      input: input.moved(to: folder), output: output.moved(to: folder), outputFormat: outputFormat,
      variables: variables,
      passes: passes.map { $0.movingPaths { $0.moved(to: folder) } })
  }
}

extension Recipe.Variable.Value {
  fileprivate var json: JSONValue {
    switch self {
    case .text(let text): .recipeText(text)
    case .list(let texts): .array(texts.map(JSONValue.recipeText))
    }
  }
}
