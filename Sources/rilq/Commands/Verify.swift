import ArgumentParser
import Checkpoints
import Foundation
import Models
import Passes
import Reports

/// `rilq verify`: compares outputs on the same tokens, and fails when a limit is exceeded.
struct Verify: SpecialPassCommand {
  typealias CommandPass = VerifyPass

  static let configuration = CommandConfiguration(
    commandName: VerifyPass.name, abstract: VerifyPass.summary)

  @Argument(help: "The reference checkpoint.")
  var reference: String

  @Argument(help: "The checkpoint to compare with it.")
  var candidate: String

  @OptionGroup(title: "Options")
  var flags: PassFlags<VerifyPass>

  @Option(help: "Also write the limits as JUnit XML, one test case for each, to a file.")
  var junit: String?

  @Flag(help: "Replace an existing JUnit file.")
  var force = false

  @OptionGroup
  var global: GlobalOptions

  func validate() throws {
    if force, junit == nil { throw ValidationError("--force goes with --junit") }
  }

  func run() throws {
    let progress = global.start()
    if let junit { try SideFile.requirePlace(at: junit, mayReplace: force) }
    let options = try VerifyPass(flags: flags.given).options
    try ProcessJob.requireAgreement(
      reading: [reference, candidate] + (options.text.map { [$0.resolved] } ?? []))
    let reference = try Checkpoint.open(path: reference, access: global.access)
    let candidate = try Checkpoint.open(path: candidate, access: global.access)
    let notices = global.tellNotices(of: reference, candidate)
    let verification = try Verification(
      reference: reference, candidate: candidate, options, group: ProcessJob.group
    ) {
      progress.show($0)
    }
    progress.finish()
    if let junit, ProcessJob.isFirst {
      let report = JUnitReport(verification, reference: reference.path, candidate: candidate.path)
      try SideFile.write(report.xml, to: junit, mayReplace: force)
    }
    var document = verification.json
    document.set(notices: notices)
    global.show(document, text: verification.table)
    guard verification.passed else { throw ExitCode(1) }
  }
}

extension Verification {
  fileprivate var table: String {
    let c = comparison
    var lines = [
      "mean KL                   \(String(format: "%.3g", c.meanKL))",
      "max KL                    \(String(format: "%.3g", c.maxKL))",
      "max |logit difference|    \(String(format: "%.3g", c.maxAbsoluteLogitDifference))",
      "top-1 agreement           \(String(format: "%.2f", 100 * c.top1Agreement)) %",
      "perplexity of reference   \(c.reference.perplexity.formatted(decimals: 3))",
      "perplexity of candidate   \(c.candidate.perplexity.formatted(decimals: 3))",
    ]
    if let generation { lines.append(generation.line) }
    for check in checks {
      let number = { (value: Double) in String(format: "%.3g", value) }
      lines.append(
        "\(check.passed ? "passed" : "FAILED"): \(check.name) \(number(check.value)), limit \(number(check.limit))"
      )
    }
    return lines.joined(separator: "\n")
  }
}

extension GenerationComparison {
  /// The comparison of the continuations on one line.
  fileprivate var line: String {
    func percent(_ share: Double) -> String { (100 * share).formatted(decimals: 0) }
    return
      "continuations             \(pairs.count) of \(tokenCount) tokens: on average the first "
      + "\(meanEqualTokens.formatted(decimals: 1)) are equal, at least \(shortestEqualTokens); repetition "
      + "\(percent(meanRepetition(\.candidate))) % (reference \(percent(meanRepetition(\.reference))) %), "
      + "collapsed \(collapsedCount(\.candidate)) (reference \(collapsedCount(\.reference)))"
  }
}
