import ArgumentParser
import Checkpoints
import Passes

/// `rilq diff`: compares two checkpoints.
struct Diff: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract:
      "Compare two checkpoints of any formats; exit code 1 when their tensors differ beyond a tolerance.",
    discussion: """
      Tensors must have the same names and shapes, and values within the tolerance. Packed weights are dequantized \
      first. Differences of dtypes, metadata and other files are reported only.
      """)

  @Argument(help: "The first checkpoint, which errors are relative to.")
  var first: String

  @Argument(help: "The second checkpoint.")
  var second: String

  @Option(
    help: "The largest relative error of a tensor (Frobenius norm) that is accepted; 0 requires equal values."
  )
  var tolerance = 0.0

  @Flag(help: "Exit with 1 when configuration, tokenizer or other files differ, too.")
  var files = false

  @Flag(help: "List equal tensors, too.")
  var all = false

  @OptionGroup
  var global: GlobalOptions

  func validate() throws {
    guard tolerance >= 0 else { throw ValidationError("--tolerance must be at least 0") }
  }

  func run() throws {
    let progress = global.start()
    let difference = try CheckpointDifference(
      Checkpoint.open(path: first, access: global.access),
      Checkpoint.open(path: second, access: global.access), tolerance: tolerance
    ) { progress.show($0) }
    progress.finish()
    global.show(difference.json, text: difference.text(showsAll: all))
    guard difference.isWithinTolerance, !files || difference.hasSameFiles else { throw ExitCode(1) }
  }
}
