import ArgumentParser
import Passes

/// `rilq attach`: one pass.
struct Attach: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Put adapters that change nothing yet beside linears.")

  @Argument(help: "The checkpoint to read: a folder, a .safetensors or a .rilq file.")
  var input: String

  @Argument(help: "The .rilq file or the folder to write.")
  var output: String

  @OptionGroup(title: "Pass options")
  var flags: AttachFlags

  @OptionGroup(title: "Output options")
  var outputOptions: OutputOptions

  @OptionGroup
  var global: GlobalOptions

  func run() throws {
    let recipe = Recipe(
      input: PathOption(input), output: PathOption(output), outputFormat: try outputOptions.format(),
      passes: [try PassOptions(name: "attach", flags: flags.given)])
    try RecipeRunner(recipe: recipe, global: global, output: outputOptions).run()
  }
}
