import ArgumentParser

/// `rilq merge`: one pass.
struct Merge: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Fold adapters and trained changes into the weights.")

  @OptionGroup(title: "Pass options")
  var flags: MergeFlags

  @OptionGroup
  var pass: SinglePass

  func run() throws { try pass.run("merge", flags.given) }
}
