import ArgumentParser

/// `rilq quantize`: one pass.
struct Quantize: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Round the weights of linears to a few bits.")

  @OptionGroup(title: "Pass options")
  var flags: QuantizeFlags

  @OptionGroup
  var pass: SinglePass

  func run() throws { try pass.run("quantize", flags.given) }
}
