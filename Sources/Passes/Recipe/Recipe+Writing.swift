public import Checkpoints

extension Recipe {
  /// The recipe with every option written out, as it is recorded in an output.
  ///
  /// Paths are as they were given. The document is itself a recipe, since JSON is YAML.
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

  /// The recipe as YAML with every option written out; reading it gives an equal recipe.
  ///
  /// A relative path that was given with `--set` is the exception: it is read from the recipe's folder again.
  /// `moved(to:)` adapts such paths.
  public func resolvedYAML() -> String { resolvedJSON().yamlText }

  /// Rewrites relative paths for a recipe file at another place.
  ///
  /// - Parameter path: The recipe file to be written.
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
