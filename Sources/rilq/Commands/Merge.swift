import ArgumentParser
import Passes

/// `rilq merge`: one pass.
struct Merge: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Fold adapters and trained changes into the weights.")

  @Argument(help: "The checkpoint to read: a folder, a .safetensors or a .rilq file.")
  var input: String

  @Argument(help: "The .rilq file or the folder to write.")
  var output: String

  @OptionGroup(title: "Pass options")
  var flags: MergeFlags

  @OptionGroup(title: "Output options")
  var outputOptions: OutputOptions

  @OptionGroup
  var global: GlobalOptions

  func run() throws {
    let recipe = Recipe(
      input: PathOption(input), output: PathOption(output), outputFormat: try outputOptions.format(),
      passes: [try PassOptions(name: "merge", flags: flags.given)])
    try RecipeRunner(recipe: recipe, global: global, output: outputOptions).run()
  }
}
