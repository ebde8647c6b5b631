import ArgumentParser
import Checkpoints
import Passes

/// `rilq plot`: plots the losses of calibrations.
struct Plot: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Draw the losses of calibrations from their logs, as an SVG image.",
    discussion: """
      Lines are training losses, smoothed over a fortieth of the updates; dots are validation losses. The log of a \
      running calibration is drawn up to its last complete line.
      """)

  @Argument(help: "The files that 'calibrate --log' or 'convert --log' wrote.")
  var logs: [String]

  @Option(help: "The image to write.")
  var output: String

  @Option(help: "The loss to draw, such as kl_loss (default: loss, of a single log with its parts).")
  var loss: String?

  @Flag(help: "Replace an existing image.")
  var force = false

  @OptionGroup
  var global: GlobalOptions

  func validate() throws {
    guard let loss, !CalibrationCurve.keys.contains(loss) else { return }
    throw ValidationError("--loss must be one of \(CalibrationCurve.keys.joined(separator: ", "))")
  }

  func run() throws {
    let curves = try logs.map { try CalibrationCurve(contentsOf: $0) }
    if let loss, let other = curves.first(where: { !$0.has(loss) }) {
      throw FormatError(other.path, .missing("key '\(loss)'"))
    }
    if let target = FileSystem.resolvedPath(output),
      logs.contains(where: { FileSystem.resolvedPath($0) == target })
    {
      throw ValidationError("--output is one of the logs")
    }
    try CalibrationCurve.plot(curves, key: loss).write(to: output, mayReplace: force)
    global.show(
      .object([.init("output", .string(output)), .init("curves", .array(curves.map(\.json)))]),
      text: (curves.map(\.text) + [output.escapedForDisplay]).joined(separator: "\n"))
  }
}
