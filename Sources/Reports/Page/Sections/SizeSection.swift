import Models
import Passes

/// The sizes of the model's parts before and after.
struct SizeSection {
  let result: ConversionResult

  var section: PageSection {
    let parts = result.record?.parts ?? []
    guard !parts.isEmpty else {
      return .absent(
        "sizes", "Size by part", because: "The sizes are not shown: the result was written without them.")
    }
    let before = parts.reduce(0) { Self.sum($0, $1.before.bytes) }
    let after = parts.reduce(0) { Self.sum($0, $1.after.bytes) }
    let rows = parts.map { part in
      [
        part.name, max(part.before.parameters, part.after.parameters).formattedCount,
        part.before.bytes.formattedBytes, part.after.bytes.formattedBytes, Self.bits(part),
        Self.share(part.after.bytes, of: after),
      ]
    }
    let total = [
      "all tensors", "", before.formattedBytes, after.formattedBytes, "", Self.share(after, of: after),
    ]
    return PageSection(
      "sizes", "Size by part",
      [
        .paragraph(
          "Bytes of the tensors as the files store them, tables and adapters included, before compression. "
            + "A star stands for the numbers of layers and experts."),
        .table(
          "Sizes before and after",
          heads: ["part", "parameters", "before", "after", "bits per parameter", "share after"],
          rows: rows + [total]),
      ])
  }

  /// Adds numbers of a file; a sum too large for an integer stays at the largest one.
  private static func sum(_ a: Int, _ b: Int) -> Int {
    let (sum, overflow) = a.addingReportingOverflow(b)
    return overflow ? .max : sum
  }

  private static func bits(_ part: RecordedRun.Part) -> String {
    guard part.after.parameters > 0 else { return "" }
    return (8 * Double(part.after.bytes) / Double(part.after.parameters)).formatted(decimals: 2)
  }

  private static func share(_ bytes: Int, of all: Int) -> String {
    (Double(bytes) / Double(max(all, 1))).formattedPercent
  }
}
