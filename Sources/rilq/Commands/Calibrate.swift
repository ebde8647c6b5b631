import ArgumentParser
import Passes

/// `rilq calibrate`: one pass.
struct Calibrate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Train adapters or tables of a quantized model to match the original.")

  @Argument(help: "The checkpoint to read: a folder, a .safetensors or a .rilq file.")
  var input: String

  @Argument(help: "The .rilq file or the folder to write.")
  var output: String

  @OptionGroup(title: "Pass options")
  var flags: CalibrateFlags

  @Option(help: "A file that gets one JSON object a line for each update.")
  var log: String?

  @OptionGroup(title: "Output options")
  var outputOptions: OutputOptions

  @OptionGroup
  var global: GlobalOptions

  func run() throws {
    let recipe = Recipe(
      input: PathOption(input), output: PathOption(output), outputFormat: try outputOptions.format(),
      passes: [try PassOptions(name: "calibrate", flags: flags.given)])
    try RecipeRunner(recipe: recipe, global: global, output: outputOptions, logPath: log).run()
  }
}
