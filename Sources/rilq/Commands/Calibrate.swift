import ArgumentParser

/// `rilq calibrate`: one pass.
struct Calibrate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Train adapters or tables of a quantized model to match the original.")

  @OptionGroup(title: "Pass options")
  var flags: CalibrateFlags

  @Option(help: "A file that gets one JSON object a line for each update.")
  var log: String?

  @OptionGroup
  var pass: SinglePass

  func run() throws { try pass.run("calibrate", flags.given, logPath: log) }
}
