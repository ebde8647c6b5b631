import ArgumentParser
import Checkpoints
import Recipes

/// `rilq recipes`: lists the built-in recipes.
struct RecipeList: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "recipes",
    abstract: "List the built-in recipes with their cost and result; print one by its name.",
    discussion: """
      'rilq convert INPUT OUTPUT --recipe NAME' runs a recipe. \
      'rilq recipes NAME > FILE.yaml' copies one as a start for your own.
      """)

  @Argument(help: "The recipe to print, as YAML.")
  var name: String?

  @OptionGroup
  var global: GlobalOptions

  func run() throws {
    guard let name else {
      return global.show(
        .object([.init("recipes", .array(BuiltInRecipe.all.map(\.json)))]),
        text: BuiltInRecipe.all.map(\.text).joined(separator: "\n\n"))
    }
    let recipe = try BuiltInRecipe.named(name)
    // The text ends with a line break, and printing adds one.
    global.show(recipe.document, text: String(recipe.yaml.dropLast()))
  }
}

extension BuiltInRecipe {
  fileprivate var json: JSONValue {
    .object([
      .init("name", .string(name)), .init("summary", .string(summary)), .init("takes", .string(takes)),
      .init("gives", .string(gives)),
    ])
  }

  fileprivate var document: JSONValue {
    var document = json
    document.set("yaml", to: .string(yaml))
    return document
  }

  fileprivate var text: String { "\(name)\n  \(summary)\n  takes: \(takes)\n  gives: \(gives)" }
}
