import ArgumentParser
import Passes

/// What the commands that run one pass have in common.
struct SinglePass: ParsableArguments {
  @Argument(help: "The checkpoint to read: a folder, a .safetensors, .rilq or .gguf file.")
  var input: String

  @Argument(help: "The .rilq file or the folder to write.")
  var output: String

  @OptionGroup(title: "Output options")
  var outputOptions: OutputOptions

  @OptionGroup
  var global: GlobalOptions

  /// Runs a recipe of one pass.
  ///
  /// - Parameters:
  ///   - name: The recipe's name of the pass.
  ///   - flags: The options that were given.
  ///   - logPath: A file for a line an update.
  /// - Throws: What reading the options or running the pass throws.
  func run(_ name: String, _ flags: [PassFlag], logPath: String? = nil) throws {
    let recipe = Recipe(
      input: PathOption(input), output: PathOption(output), outputFormat: try outputOptions.format(),
      passes: [try PassOptions(name: name, flags: flags)])
    try RecipeRunner(recipe: recipe, global: global, output: outputOptions, logPath: logPath).run()
  }
}
