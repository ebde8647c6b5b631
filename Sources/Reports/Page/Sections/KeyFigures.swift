import Models
import Passes

/// The figures that one looks at first, one column per result.
struct KeyFigures {
  static let id = "figures"
  static let title = "Key figures"
  let results: [NamedResult]

  var section: PageSection {
    PageSection(
      Self.id, Self.title,
      [
        .table(
          "Key figures of each output", heads: ["figure"] + results.map(\.name),
          rows: Self.rows.map { row in
            [.text(row.name)] + results.map { row.value($0.result) }
          })
      ])
  }

  private typealias Row = (name: String, value: @Sendable (ReportedResult) -> HTMLNode)

  private static let rows: [Row] = [
    ("format", { .text($0.conversion.format ?? unknown) }),
    ("size before", { .text($0.conversion.record?.inputBytes.map(\.formattedBytes) ?? "not recorded") }),
    ("size after", { .text($0.conversion.bytes.map(\.formattedBytes) ?? unknown) }),
    ("bits per weight", { .text(number($0.conversion.bitsPerWeight, decimals: 2)) }),
    ("perplexity of the original", { .text(number(originalPerplexity($0), decimals: 3)) }),
    ("perplexity of the output", { .text(number(output($0).perplexity, decimals: 3)) }),
    ("mean KL, nats per token", { .text(number(output($0).kl, decimals: 4)) }),
    ("top-1 agreement", { .text(percent(output($0).agreement)) }),
    ("merged against unmerged", { verdict($0.conversion.mergeVerification) }),
    ("time of all passes", { .text($0.conversion.seconds.formattedDuration) }),
    ("peak memory", { .text($0.conversion.peakMemory.map(\.formattedBytes) ?? unknown) }),
  ]

  private static let unknown = "not measured"

  private static func number(_ value: Double?, decimals: Int) -> String {
    value.map { $0.formatted(decimals: decimals) } ?? unknown
  }

  private static func percent(_ share: Double?) -> String { share.map(\.formattedPercent) ?? unknown }

  private static func verdict(_ verification: VerificationResult?) -> HTMLNode {
    verification.map { .verdict($0.passed) } ?? .text(unknown)
  }

  /// The perplexity of the original by the first measurement that has one.
  private static func originalPerplexity(_ result: ReportedResult) -> Double? {
    result.conversion.comparisonWithOriginal?.perplexity.reference
      ?? result.evaluations.lazy.compactMap(\.referencePerplexity).first
  }

  /// The measures of the output by the comparison with the original, or by the first evaluation.
  private static func output(
    _ result: ReportedResult
  ) -> (perplexity: Double?, kl: Double?, agreement: Double?) {
    if let compared = result.conversion.comparisonWithOriginal {
      return (compared.perplexity.candidate, compared.kl.mean, compared.top1Agreement)
    }
    if let evaluation = result.evaluations.first {
      return (evaluation.perplexity, evaluation.meanKL, evaluation.top1Agreement)
    }
    return (result.conversion.mergeVerification?.perplexity.candidate, nil, nil)
  }
}

extension HTMLNode {
  /// Makes the word for whether checks passed.
  static func verdict(_ passed: Bool) -> HTMLNode {
    .tag("span", ["class": passed ? "passed" : "failed"], [.text(passed ? "passed" : "failed")])
  }
}

extension Double {
  /// The share in percent: `59.7 %`.
  var formattedPercent: String { "\((100 * self).formatted(decimals: 1)) %" }

  /// The seconds as a duration: `4.2 s`, `7 min 21 s`, `3 h 5 min`.
  var formattedDuration: String {
    guard self >= 60 else { return "\(formatted(decimals: 1)) s" }
    guard let seconds = Int(exactly: rounded()) else { return "\(formattedShort) s" }
    return seconds < 3600
      ? "\(seconds / 60) min \(seconds % 60) s" : "\(seconds / 3600) h \(seconds % 3600 / 60) min"
  }
}
