import Models
import Passes

/// How often codes and values of tables occur in the output.
struct TableSection {
  private static let id = "tables"
  private static let title = "Codes and tables"
  /// The most codes that a table lists for each kind of linear.
  private static let codeLimit = 16
  let result: ReportedResult

  var section: PageSection {
    guard let tables = result.tables else {
      return .absent(
        Self.id, Self.title,
        because: "There are no histograms: they are made from the output's codes, and the report was made "
          + "without the output, or it has no codes. 'rilq report OUTPUT' reads them.")
    }
    return PageSection(Self.id, Self.title, tables.widths.flatMap(nodes))
  }

  private func nodes(_ width: TableHistograms.Width) -> [HTMLNode] {
    let total = Double(max(width.codes.reduce(0, +), 1))
    let shares = width.codes.map { Double($0) / total }
    let name = "\(width.bits)-bit weights"
    let codes = BarChart(
      title: "Codes of the \(name)",
      description: shares.count <= Self.codeLimit
        ? shares.enumerated().map { "code \($0): \($1.formattedPercent)" }.joined(separator: ", ")
        : "The most frequent code is \(shares.indices.max { shares[$0] < shares[$1] } ?? 0).",
      xLabel: "code", yLabel: "% of the weights",
      bars: shares.enumerated().map { (Double($0) - 0.4, Double($0) + 0.4, $1) },
      xTicks: shares.count <= Self.codeLimit ? shares.indices.map { (Double($0), String($0)) } : nil)
    let figures: [HTMLNode] = [
      .figure("Codes of the \(name)", codes.node),
      .figure(
        "Scales of their groups",
        Self.chart(
          "Scales of the groups of \(name)", width.scales, x: "log10 of the magnitude of a scale"
        ).node),
      .figure(
        "Where zero lies among the codes",
        Self.chart("Zero of the groups of \(name)", width.zeros, x: "-bias / scale, in codes").node),
    ]
    return [.figures(figures)] + table(of: width)
  }

  private static func chart(_ title: String, _ histogram: Histogram, x label: String) -> BarChart {
    let total = Double(max(histogram.total, 1))
    let filled = histogram.counts.indices.filter { histogram.counts[$0] > 0 }
    let shown = (filled.first ?? 0)..<((filled.last ?? 0) + 1)
    let most = filled.max { histogram.counts[$0] < histogram.counts[$1] } ?? 0
    return BarChart(
      title: title,
      description: "Values go from about \(histogram.middle(shown.lowerBound).formattedShort) to "
        + "\(histogram.middle(shown.upperBound - 1).formattedShort); most are near "
        + "\(histogram.middle(most).formattedShort).",
      xLabel: label, yLabel: "% of the groups",
      bars: shown.map { index in
        let middle = histogram.middle(index)
        return (
          middle - histogram.width / 2, middle + histogram.width / 2, Double(histogram.counts[index]) / total
        )
      })
  }

  private func table(of width: TableHistograms.Width) -> [HTMLNode] {
    guard width.codes.count <= Self.codeLimit else { return [] }
    let rows = width.kinds.map { kind in
      let total = Double(max(kind.codes.reduce(0, +), 1))
      return [kind.name] + kind.codes.map { (Double($0) / total).formattedPercent }
    }
    return [
      .details(
        "Codes of each kind of linear, \(width.bits) bits",
        [
          .table(
            "Share of each code", heads: ["linear"] + width.codes.indices.map { "code \($0)" }, rows: rows)
        ])
    ]
  }
}
