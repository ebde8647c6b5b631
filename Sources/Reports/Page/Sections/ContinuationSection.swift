/// What the reference and the output write after the same prompts.
struct ContinuationSection {
  let result: ConversionResult

  var section: PageSection {
    let compared = result.passes.compactMap(\.verification).filter { !$0.continuations.isEmpty }
    guard let verification = compared.last(where: { $0.against != "unmerged" }) ?? compared.last else {
      return .absent(
        "continuations", "Continuations",
        because: "There are none: no pass 'verify' recorded what the models write.")
    }
    let reference =
      switch verification.against {
      case "unmerged": "unmerged model"
      case "input", nil: "original model"
      case let path?: path
      }
    return PageSection(
      "continuations", "Continuations",
      [.paragraph("Both models continue the same prompts, always with the most probable token.")]
        + verification.continuations.map { node($0, reference: reference) })
  }

  private func node(_ continuation: VerificationResult.Continuation, reference: String) -> HTMLNode {
    func side(_ name: String, _ text: String) -> HTMLNode {
      .tag("div", [:], [.paragraph(name), .tag("pre", [:], [.text(text)])])
    }
    let equal = continuation.reference == continuation.candidate
    return .tag(
      "div", [:],
      [
        .tag("p", [:], ["Prompt: ", .code(continuation.prompt)]),
        .tag(
          "div", ["class": "pair"],
          [
            side(reference, continuation.reference),
            side(equal ? "output (the same)" : "output", continuation.candidate),
          ]),
      ])
  }
}
