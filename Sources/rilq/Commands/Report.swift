import ArgumentParser
import Checkpoints
import Passes
import Reports

/// `rilq report`: makes a page of the results of runs.
struct Report: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Make an HTML page of the results of runs; several are compared.",
    discussion: """
      A result is what 'convert --json' printed, or an output of 'convert', which keeps its result; histograms of \
      codes and tables need the output. What 'eval --json' or 'analyze --json' printed adds to the result before \
      it: rilq report out.rilq eval.json --html report.html
      """)

  @Argument(help: "Results, outputs, and documents of eval or analyze.")
  var results: [String]

  @Option(help: "The page to write.")
  var html: String

  @Flag(help: "Replace an existing page.")
  var force = false

  @OptionGroup
  var global: GlobalOptions

  func run() throws {
    let progress = global.start()
    try SideFile.requirePlace(at: html, mayReplace: force)
    if let target = FileSystem.resolvedPath(html),
      results.contains(where: { FileSystem.resolvedPath($0) == target })
    {
      throw ValidationError("--html is one of the results")
    }
    let reported = try ReportedResult.all(at: results, access: global.access) { progress.show($0) }
    progress.finish()
    try SideFile.write(ReportPage(reported).html, to: html, mayReplace: force)
    let names = reported.map { JSONValue.string($0.conversion.output) }
    global.show(
      .object([.init("html", .string(html)), .init("results", .array(names))]),
      text: html.escapedForDisplay)
  }
}
