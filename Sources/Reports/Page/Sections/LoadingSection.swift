/// How each runtime loads the output.
struct LoadingSection {
  let result: ConversionResult

  var section: PageSection {
    let instructions = LoadingInstructions(of: result)
    guard !instructions.entries.isEmpty else {
      return .absent(
        "loading", "How to load the output",
        because: "The result does not record the format of the output folder.")
    }
    return PageSection(
      "loading", "How to load the output",
      instructions.entries.flatMap { entry in
        [.paragraph(entry.runtime), .tag("pre", [:], [.text(entry.commands)])]
      })
  }
}
