import Checkpoints
import Passes

/// What each pass did, and what writing the output found.
struct PassesSection {
  let result: ConversionResult

  var section: PageSection {
    let passes = result.passes.flatMap(nodes)
    let none: [HTMLNode] = [.paragraph("No pass ran: only the format changed.", class: "absent")]
    return PageSection("passes", "What each pass did", (passes.isEmpty ? none : passes) + output)
  }

  private func nodes(_ pass: PassResult) -> [HTMLNode] {
    let options = pass.optionsPhrase
    let heading = HTMLNode.tag(
      "p", [:],
      [.tag("strong", [:], [.text(pass.name)])]
        + (options.isEmpty ? [] : [.text(": \(options)")])
        + (pass.isResumed ? [" (taken over from an earlier run)"] : []))
    guard pass.verification == nil else {
      return [heading, .paragraph("What it measured is below, under Quality or Merged against unmerged.")]
    }
    let values = pass.values.map { ($0.key.replacing("_", with: " "), $0.value.figure) }
    return values.isEmpty ? [heading] : [heading, .definitions(values)]
  }

  private var output: [HTMLNode] {
    var sentences: [String] = []
    if !result.types.isEmpty {
      let types = result.types.map { "\($0.count) \($0.name)" }.joined(separator: ", ")
      sentences.append("Types of the tensors in the file: \(types).")
    }
    if let proof = result.proof {
      sentences.append(
        "Read back from the output, \(proof.equal) of \(proof.all) tensors are as they were written.")
    }
    if result.roundedCount > 0 {
      sentences.append("\(result.roundedCount) tensors were rounded, because the format cannot hold them.")
    }
    if !result.leftOut.isEmpty {
      sentences.append("The format has no place for \(result.leftOut.joined(separator: ", ")).")
    }
    return sentences.map { .paragraph($0) }
  }
}

extension JSONValue {
  /// A value of a report as text: counts with separators, measures with four digits.
  var figure: String {
    if let integer { return integer.formattedCount }
    if let double { return double.formattedShort }
    if let bool { return bool ? "yes" : "no" }
    return string ?? compactText
  }
}
