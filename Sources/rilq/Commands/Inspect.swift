import ArgumentParser
import Checkpoints
import Passes

/// `rilq inspect`: shows the contents of a checkpoint.
struct Inspect: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show the contents of a checkpoint, from headers alone unless --stats reads the values.")

  @Argument(help: "The checkpoint: a folder, a .safetensors, .rilq or .gguf file.")
  var path: String

  @Option(
    parsing: .upToNextOption,
    help: "List only these tensors: names or ends of names, globs or re:EXPRESSION, of tensors or modules.")
  var tensors: [String] = []

  @Flag(
    help: "Read the values: minimum, maximum, mean, deviation, zeros, NaN and infinities; codes and tables.")
  var stats = false

  @Flag(help: "Print Markdown.")
  var markdown = false

  @OptionGroup
  var global: GlobalOptions

  func validate() throws {
    if markdown, global.json { throw ValidationError("--markdown and --json exclude each other") }
  }

  func run() throws {
    let progress = global.start()
    let options = Inspection.Options(patterns: try tensors.map { try ModulePattern($0) }, readsValues: stats)
    let inspection = try Inspection(Checkpoint.open(path: path, access: global.access), options) {
      progress.show($0)
    }
    progress.finish()
    guard global.json else { return print(markdown ? inspection.markdown : inspection.text) }
    inspection.writeJSON { print($0, terminator: "") }
    print()
  }
}
