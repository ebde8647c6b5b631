import Passes

/// The time and the memory of each pass.
struct CostSection {
  let result: ConversionResult

  var section: PageSection {
    let rows = result.passes.map { pass in
      [
        pass.name, pass.seconds.formattedDuration, pass.peakMemory.map(\.formattedBytes) ?? "not recorded",
        pass.isResumed ? "earlier" : "this",
      ]
    }
    let total = ["all", result.seconds.formattedDuration, result.peakMemory.map(\.formattedBytes) ?? "", ""]
    return PageSection(
      "cost", "Time and memory",
      [
        .paragraph(
          "Memory is the most that the process had resident up to the end of a pass, mapped files included."),
        .table(
          "Time and memory of each pass", heads: ["pass", "time", "peak memory up to its end", "run"],
          rows: rows + [total]),
      ])
  }
}
