import ArgumentParser
import Checkpoints
import Foundation
import Passes

/// `rilq convert`: a recipe, from a file or from arguments.
struct Convert: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Run a recipe: read a checkpoint, run passes, write a checkpoint.",
    usage: """
      rilq convert RECIPE.yaml [--set NAME=VALUE ...]
      rilq convert INPUT OUTPUT [--pass PASS ...]
      """)

  @Argument(help: "A recipe; or a checkpoint to read and what to write.")
  var paths: [String]

  @Option(
    name: .customLong("pass"),
    help: "A pass as in a recipe, such as 'quantize: {bits: 2}' or 'merge'; may be repeated, in order.")
  var passes: [String] = []

  @Option(
    name: .customLong("set"),
    help: "Set a variable, input, output, or any value of the recipe by its path; may be repeated.")
  var overrides: [String] = []

  @Option(help: "Write the recipe, with every option, to a file.")
  var writeRecipe: String?

  @Option(help: "A file that gets one JSON object a line for each calibration update.")
  var log: String?

  @OptionGroup(title: "Output options")
  var outputOptions: OutputOptions

  @OptionGroup
  var global: GlobalOptions

  func validate() throws {
    guard paths.count <= 2 else { throw ValidationError("expected a recipe, or an input and an output") }
    guard paths.count == 2 || passes.isEmpty else {
      throw ValidationError("--pass goes with an input and an output")
    }
  }

  func run() throws {
    let recipe = try readRecipe()
    if let writeRecipe { try save(recipe, to: writeRecipe) }
    try RecipeRunner(recipe: recipe, global: global, output: outputOptions, logPath: log).run()
  }

  private func readRecipe() throws -> Recipe {
    let recipe: Recipe
    if paths.count == 1 {
      recipe = try Recipe(contentsOf: paths[0], overrides: overrides)
    } else {
      recipe = try Recipe(parsing: yaml, path: "arguments", overrides: overrides)
    }
    guard let format = try outputOptions.format() else { return recipe }
    return Recipe(
      input: recipe.input, output: recipe.output, outputFormat: format, variables: recipe.variables,
      passes: recipe.passes)
  }

  /// The recipe that the arguments stand for.
  private var yaml: String {
    let quoted = paths.map { JSONValue.string($0).compactText }
    let lines = passes.map { "  - " + ($0.contains(":") ? $0 : $0 + ": {}") }
    return "input: \(quoted[0])\noutput: \(quoted[1])\npasses:"
      + (lines.isEmpty ? " []\n" : "\n" + lines.joined(separator: "\n") + "\n")
  }

  private func save(_ recipe: Recipe, to path: String) throws {
    let text = recipe.moved(to: path).resolvedYAML()
    do {
      try Data(text.utf8).write(to: URL(filePath: path), options: .atomic)
    } catch {
      throw FormatError(path, .system("cannot be written"))
    }
  }
}
