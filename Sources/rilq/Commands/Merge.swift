import ArgumentParser
import Checkpoints
import Passes

/// `rilq merge`: runs the merge pass.
struct Merge: SpecialPassCommand {
  typealias CommandPass = MergePass

  static let configuration = CommandConfiguration(
    commandName: MergePass.name, abstract: MergePass.summary,
    usage: """
      rilq merge INPUT OUTPUT [--tables DTYPE] [--requantize]
      rilq merge BASE ADAPTER OUTPUT [--pooling CONVENTION]
      """,
    discussion: """
      With two paths, the adapters and trained changes of a checkpoint are folded into its weights. With three, a \
      PEFT adapter, a folder with adapter_config.json and adapter_model.safetensors, is folded into a base.
      """)

  @Argument(help: "A checkpoint to read, optionally an adapter, and the output to write.")
  var paths: [String] = []

  @OptionGroup(title: "Pass options")
  var flags: PassFlags<MergePass>

  @OptionGroup(title: "Output options")
  var outputOptions: OutputOptions

  @OptionGroup
  var global: GlobalOptions

  func validate() throws {
    guard paths.count == 2 || paths.count == 3 else {
      throw ValidationError(
        "an input and an output, or a base, an adapter and an output, are expected: rilq merge BASE ADAPTER OUTPUT"
      )
    }
    guard paths.count == 2 || !flags.given.contains(where: { $0.key == "adapter" }) else {
      throw ValidationError("the adapter is given twice, as a path and by --adapter")
    }
  }

  func run() throws {
    let adapter = paths.count == 3 ? [PassFlag("adapter", paths[1])] : []
    let recipe = Recipe(
      input: PathOption(paths[0]), output: PathOption(paths[paths.count - 1]),
      outputFormat: try outputOptions.format(),
      passes: [PassOptions(try MergePass(flags: flags.given + adapter))])
    try RecipeRunner(recipe: recipe, global: global, output: outputOptions).run()
  }
}
