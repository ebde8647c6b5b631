import ArgumentParser
import Passes

/// The arguments that commands with one pass have in common.
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
  ///   - pass: The pass.
  ///   - flags: The given flags.
  /// - Throws: The errors of reading the options and of running the pass.
  func run<P: Pass>(_ pass: P.Type, _ flags: PassFlags<P>) throws {
    let recipe = Recipe(
      input: PathOption(input), output: PathOption(output), outputFormat: try outputOptions.format(),
      passes: [PassOptions(try P(flags: flags.given))])
    try RecipeRunner(recipe: recipe, global: global, output: outputOptions, logPath: flags.log).run()
  }
}
