import Checkpoints
import Passes
import Recipes

extension BuiltInRecipe {
  /// Returns the recipe of a name.
  ///
  /// - Throws: `PassError.usage` with the known names.
  static func named(_ name: String) throws -> BuiltInRecipe {
    if let recipe = all.first(where: { $0.name == name }) { return recipe }
    throw PassError.usage(
      "there is no recipe '\(name)'; there are \(all.map(\.name).alternatives(joinedBy: "and")), and a file is named "
        + "with its ending, '\(name).yaml'")
  }
}

extension Recipe {
  /// Whether a path has the extension of a recipe.
  static func isFileName(_ path: String) -> Bool { path.hasSuffix(".yaml") || path.hasSuffix(".yml") }

  /// Reads the recipe that `--recipe` names: a built-in recipe or a file.
  ///
  /// - Parameters:
  ///   - name: The name of a built-in recipe; a path if it has a `/` or ends in `.yaml` or `.yml`.
  ///   - arguments: The arguments of the command line.
  /// - Throws: `PassError`, or `FormatError` when a file cannot be read.
  init(named name: String, _ arguments: RecipeArguments) throws {
    if name.contains("/") || Self.isFileName(name) {
      try self.init(contentsOf: name, arguments)
    } else {
      try self.init(parsing: BuiltInRecipe.named(name).yaml, path: "recipe '\(name)'", arguments)
    }
  }
}
