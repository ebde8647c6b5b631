import ArgumentParser

/// `rilq rotate`: one pass.
struct Rotate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Rotate a model's activations, which leaves its function and spreads outliers of its weights.")

  @OptionGroup(title: "Pass options")
  var flags: RotateFlags

  @OptionGroup
  var pass: SinglePass

  func run() throws { try pass.run("rotate", flags.given) }
}
