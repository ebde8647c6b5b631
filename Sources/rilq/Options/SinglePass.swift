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
  ///   - pass: The pass.
  ///   - flags: The flags that were given.
  /// - Throws: What reading the options or running the pass throws.
  func run<P: Pass>(_ pass: P.Type, _ flags: PassFlags<P>) throws {
    let recipe = Recipe(
      input: PathOption(input), output: PathOption(output), outputFormat: try outputOptions.format(),
      passes: [PassOptions(try P(flags: flags.given))])
    try RecipeRunner(recipe: recipe, global: global, output: outputOptions, logPath: flags.log).run()
  }
}
