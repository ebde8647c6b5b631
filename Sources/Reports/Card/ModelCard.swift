import Checkpoints
import Models
import Passes

/// A model card: front matter that the hubs read, and a section with figures, recipe and how to load.
///
/// An existing card is kept: its keys and text stay, and the section stands between two marks, where a later
/// card replaces it.
package struct ModelCard {
  private static let begin = "<!-- rilq: begin -->"
  private static let end = "<!-- rilq: end -->"

  private let result: ConversionResult
  private var frontMatter: CardFrontMatter

  /// Prepares a card.
  ///
  /// - Parameters:
  ///   - result: The result of the run.
  ///   - existing: The card to keep and extend, usually the input's; nil makes a new one.
  package init(of result: ConversionResult, extending existing: String?) {
    self.result = result
    frontMatter = CardFrontMatter(existing ?? "")
    setKeys()
  }

  private mutating func setKeys() {
    if let base = Self.repository(inCachePath: result.input) { frontMatter.set("base_model", to: base) }
    if isQuantized { frontMatter.set("base_model_relation", to: "quantized") }
    frontMatter.setIfMissing("pipeline_tag", to: "text-generation")
    if let library { frontMatter.set("library_name", to: library) }
    frontMatter.add(["rilq"] + (isQuantized ? ["quantized"] : []) + (bitsTag.map { [$0] } ?? []), to: "tags")
  }

  /// Whether the weights have few bits.
  private var isQuantized: Bool { bitsTag != nil || result.passes.contains { $0.name == "quantize" } }

  /// The tag of the number of bits: `2-bit`; nil when the weights are not packed.
  private var bitsTag: String? {
    guard let bits = result.bitsPerWeight, bits >= 1, bits < 9 else { return nil }
    return "\(statedBits ?? Int(bits))-bit"
  }

  private static let budgets = ["bits_per_weight", "bits_per_parameter", "size"]

  /// The bits that the last quantization gave every module; nil when a budget distributed them.
  private var statedBits: Int? {
    guard let options = result.passes.last(where: { $0.name == "quantize" })?.options,
      Self.budgets.allSatisfy({ options[$0]?.isNull ?? true })
    else { return nil }
    let blocks = options["grid"]?.string?.wholeMatch(of: #/q([2-6])_k/#)
    return blocks.flatMap { Int($0.1) } ?? options["bits"]?.integer
  }

  /// The hubs' name of the library that loads the output; nil leaves the key as it is.
  private var library: String? {
    switch result.format {
    case "rilq": "rilq"
    case "mlx": "mlx"
    case "gguf": "gguf"
    case "gptq", "gptq_v2", "autoround", "compressed-tensors": "transformers"
    case "safetensors": isQuantized ? "rilq" : nil
    default: nil
    }
  }

  /// Returns the name of a repository on Hugging Face's hub from a path in its cache.
  static func repository(inCachePath path: String) -> String? {
    let prefix = "models--"
    for part in path.split(separator: "/") where part.hasPrefix(prefix) {
      let name = part.dropFirst(prefix.count).split(separator: "--", maxSplits: 1)
      if name.count == 2 { return name.joined(separator: "/") }
    }
    return nil
  }

  /// The card as Markdown.
  ///
  /// - Throws: An error of the YAML emitter.
  package func text() throws -> String {
    try frontMatter.text() + body
  }

  private var body: String {
    let body = frontMatter.body
    guard !body.allSatisfy(\.isWhitespace) else {
      return "\n# \(result.name.escapedForMarkdown)\n\n" + section
    }
    guard let start = body.firstRange(of: Self.begin), let end = body.ranges(of: Self.end).last,
      start.upperBound <= end.lowerBound
    else { return body + (body.hasSuffix("\n") ? "\n" : "\n\n") + section }
    let rest = String(body[end.upperBound...])
    return String(body[..<start.lowerBound]) + String(section.dropLast()) + (rest.isEmpty ? "\n" : rest)
  }

  private var section: String {
    ([Self.begin, "", "## Made with rilq", "", summary] + figures + recipe + loading + [Self.end, ""])
      .joined(separator: "\n")
  }

  private var summary: String {
    let bases = frontMatter.texts("base_model").map { "`\($0.escapedForMarkdownCode)`" }
    var facts = [bases.isEmpty ? nil : "made from \(bases.joined(separator: ", "))"]
    facts.append(result.format.map { "format \($0)" })
    facts.append(result.bitsPerWeight.map { "\($0.formatted(decimals: 2)) bits per weight" })
    facts.append(size)
    let name = "`\(result.name.escapedForMarkdownCode)`"
    let license =
      frontMatter.texts("license").isEmpty
      ? " The licence of the original is not recorded with it; look it up before you share this model." : ""
    return "\(name): \(facts.compactMap(\.self).joined(separator: ", ")).\(license)\n"
  }

  private var size: String? {
    guard let bytes = result.bytes else { return nil }
    let before = result.record?.inputBytes.map { " instead of \($0.formattedBytes)" } ?? ""
    return bytes.formattedBytes + before
  }

  private var figures: [String] {
    let compared = result.passes.compactMap(\.verification)
    guard !compared.isEmpty else {
      return ["Nothing compared this model with the original; `rilq verify` and `rilq eval` do.", ""]
    }
    let rows = compared.map { verification in
      let cells = [
        verification.text ?? "windows that the original wrote", verification.against ?? "input",
        verification.perplexity.reference?.formatted(decimals: 3) ?? "",
        verification.perplexity.candidate?.formatted(decimals: 3) ?? "",
        verification.kl.mean?.formattedShort ?? "", verification.top1Agreement?.formattedPercent ?? "",
        verification.passed ? "passed" : "failed",
      ]
      return "| " + cells.map(\.escapedForMarkdown).joined(separator: " | ") + " |"
    }
    return [
      "| text | compared with | its perplexity | perplexity | mean KL | top-1 agreement | limits |",
      "| --- | --- | --- | --- | --- | --- | --- |",
    ] + rows + [""]
  }

  private var recipe: [String] {
    guard let recipe = result.record?.recipe else { return [] }
    return ["### Recipe", "", "````yaml", String(recipe.yamlText.trimmingPrefix("\n")) + "````", ""]
  }

  private var loading: [String] {
    let entries = LoadingInstructions(of: result).entries
    guard !entries.isEmpty else { return [] }
    return ["### How to load", ""]
      + entries.flatMap { entry in
        ["\(entry.runtime):", "", "````", entry.commands, "````", ""]
      }
  }
}

extension String {
  /// The text as part of a paragraph or of a table's cell.
  fileprivate var escapedForMarkdown: String {
    escapedForXML.replacing("\n", with: " ").replacing("|", with: "\\|").replacing("`", with: "\\`")
      .replacing("*", with: "\\*").replacing("_", with: "\\_")
  }

  /// The text between two backticks.
  fileprivate var escapedForMarkdownCode: String { replacing("`", with: "'").replacing("\n", with: " ") }
}
