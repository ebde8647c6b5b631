import Checkpoints
import Passes

/// What the output was made from: the model, the files with their digests, the recipe.
struct InputSection {
  let result: ConversionResult

  var section: PageSection {
    let paths = HTMLNode.definitions([("input", result.input), ("output", result.output)])
    guard let record = result.record else {
      return PageSection(
        "input", "What went in",
        [
          paths,
          .paragraph(
            "The model and the digests of its files are not shown: the result was written without them.",
            class: "absent"),
        ])
    }
    return PageSection(
      "input", "What went in", [paths] + model(record) + files(record) + recipe(record) + notices)
  }

  private func model(_ record: RecordedRun) -> [HTMLNode] {
    let rows = record.model.map { member in
      let text = member.value.integer.map(\.formattedCount) ?? member.value.string ?? member.value.compactText
      return (member.key.replacing("_", with: " "), text)
    }
    let before = record.inputBytes.map { [("size of the files", $0.formattedBytes)] } ?? []
    return rows.isEmpty && before.isEmpty ? [] : [.definitions(rows + before)]
  }

  private func files(_ record: RecordedRun) -> [HTMLNode] {
    guard !record.sources.isEmpty else { return [] }
    return [
      .details(
        "SHA-256 of \(record.sources.count) input files",
        [
          .table(
            "Digests of the input files", heads: ["file", "SHA-256"],
            rows: record.sources.map { [.text($0.file), .code($0.digest)] })
        ])
    ]
  }

  private func recipe(_ record: RecordedRun) -> [HTMLNode] {
    guard let recipe = record.recipe else { return [] }
    return [.details("The resolved recipe", [.tag("pre", [:], [.text(recipe.yamlText)])])]
  }

  private var notices: [HTMLNode] { result.notices.map { .paragraph("Notice: \($0)") } }
}

extension HTMLNode {
  /// Makes a list of names and their values.
  static func definitions(_ rows: [(String, String)]) -> HTMLNode {
    .tag(
      "dl", [:], rows.flatMap { [.tag("dt", [:], [.text($0.0)]), .tag("dd", [:], [.text($0.1)])] })
  }
}
