import ArgumentParser

/// `rilq attach`: one pass.
struct Attach: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Put adapters beside linears: without effect yet, or compensating errors.")

  @OptionGroup(title: "Pass options")
  var flags: AttachFlags

  @OptionGroup
  var pass: SinglePass

  func run() throws { try pass.run("attach", flags.given) }
}
