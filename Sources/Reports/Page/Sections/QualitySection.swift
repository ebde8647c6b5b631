import Models
import Passes

/// Perplexity, divergence and agreement for each text.
struct QualitySection {
  let result: ReportedResult

  var section: PageSection {
    let compared = result.conversion.passes.compactMap(\.verification).filter { $0.against != "unmerged" }
    let rows = compared.map(Self.row) + result.evaluations.map(Self.row)
    guard !rows.isEmpty else {
      return .absent(
        "quality", "Quality",
        because: "Nothing compared the output with the original: add a pass 'verify' with 'against: input', "
          + "or give the result of 'rilq eval --json' after this one.")
    }
    return PageSection(
      "quality", "Quality",
      [
        .table(
          "Measures for each text; KL in nats per token",
          heads: [
            "text", "perplexity of the original", "of the output", "mean KL", "top-1 agreement",
            "scored tokens",
          ], rows: rows)
      ] + compared.flatMap(\.checkNodes))
  }

  private static func row(_ verification: VerificationResult) -> [String] {
    [
      verification.text ?? "windows that the original wrote", measure(verification.perplexity.reference, 3),
      measure(verification.perplexity.candidate, 3), measure(verification.kl.mean, 4),
      verification.top1Agreement?.formattedPercent ?? "", verification.tokensScored?.formattedCount ?? "",
    ]
  }

  private static func row(_ evaluation: EvaluationResult) -> [String] {
    [
      evaluation.name, measure(evaluation.referencePerplexity, 3), measure(evaluation.perplexity, 3),
      measure(evaluation.meanKL, 4), evaluation.top1Agreement?.formattedPercent ?? "",
      evaluation.tokensScored?.formattedCount ?? "",
    ]
  }

  private static func measure(_ value: Double?, _ decimals: Int) -> String {
    value.map { $0.formatted(decimals: decimals) } ?? ""
  }
}

/// The verdict on merging: the merged model against the unmerged one.
struct MergeSection {
  let result: ConversionResult

  var section: PageSection {
    guard let verification = result.mergeVerification else {
      let reason =
        result.passes.contains { $0.name == "merge" }
        ? "The merged model was not compared with the unmerged one: add a pass 'verify' after 'merge'."
        : "Nothing was merged."
      return .absent("merge", "Merged against unmerged", because: reason)
    }
    let figures = [
      ("mean KL", verification.kl.mean?.formattedShort), ("largest KL", verification.kl.max?.formattedShort),
      ("perplexity unmerged", verification.perplexity.reference?.formatted(decimals: 4)),
      ("perplexity merged", verification.perplexity.candidate?.formatted(decimals: 4)),
      ("top-1 agreement", verification.top1Agreement?.formattedPercent),
    ].compactMap { name, text in text.map { (name, $0) } }
    return PageSection(
      "merge", "Merged against unmerged",
      [.tag("p", [:], ["Verdict: ", .verdict(verification.passed)]), .definitions(figures)]
        + verification.checkNodes)
  }
}

extension VerificationResult {
  /// The limits as a table; nothing without limits.
  var checkNodes: [HTMLNode] {
    guard !checks.isEmpty else { return [] }
    return [
      .table(
        "Limits" + (against.map { " of the comparison with \($0)" } ?? ""),
        heads: ["limit", "measured", "limit at", "result"],
        rows: checks.map { check in
          [
            .text(check.name), .text(check.value?.formattedShort ?? ""),
            .text(check.limit?.formattedShort ?? ""), .verdict(check.passed),
          ]
        })
    ]
  }
}
