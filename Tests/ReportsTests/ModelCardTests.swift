import Checkpoints
import Passes
import Reports
import TestSupport
import Testing
import Yams

@Suite struct ModelCardTests {
  private static let existing = """
    ---
    license: apache-2.0
    language:
    - en
    - "no"
    base_model: org/base
    library_name: transformers
    tags:
    - chat
    - rilq
    datasets: [a/b]
    ---
    # The original

    Its text | with `code`.

    """

  /// The front matter as a YAML reader sees it, and the rest.
  private func parts(_ card: String) throws -> (yaml: [String: Any], body: String) {
    let parts = card.components(separatedBy: "---\n")
    try #require(parts.count >= 3 && parts[0].isEmpty)
    let yaml = try #require(try Yams.load(yaml: parts[1]) as? [String: Any])
    return (yaml, parts[2...].joined(separator: "---\n"))
  }

  @Test func `a new card has what the hubs read`() throws {
    let card = try parts(ModelCard(of: try SampleRun.shared.get().result(), extending: nil).text())
    #expect(card.yaml["base_model_relation"] as? String == "quantized")
    #expect(card.yaml["pipeline_tag"] as? String == "text-generation")
    #expect(card.yaml["library_name"] as? String == "rilq")
    #expect(card.yaml["tags"] as? [String] == ["rilq", "quantized", "2-bit"])
    #expect(card.yaml["license"] == nil && card.yaml["base_model"] == nil)
    let recipe = try #require(card.body.firstMatch(of: #/````yaml\n([^`]*)````/#)).1
    #expect(recipe.hasPrefix("input:") && recipe.hasSuffix("\n") && !recipe.hasSuffix("\n\n"))
    #expect(card.body.contains("# out.rilq") && card.body.contains("licence of the original is not recorded"))
    #expect(card.body.contains("| input |") && card.body.contains("method: rtn"))
    #expect(card.body.contains("rilq generate"))
  }

  @Test func `an existing card is kept and extended`() throws {
    let run = try SampleRun.shared.get()
    let card = try parts(ModelCard(of: try run.result(), extending: Self.existing).text())
    #expect(card.yaml["license"] as? String == "apache-2.0")
    #expect(card.yaml["language"] as? [String] == ["en", "no"])
    #expect(card.yaml["base_model"] as? String == "org/base")
    #expect(card.yaml["library_name"] as? String == "rilq")
    #expect(card.yaml["tags"] as? [String] == ["chat", "rilq", "quantized", "2-bit"])
    #expect(card.yaml["datasets"] as? [String] == ["a/b"])
    #expect(card.body.hasPrefix("# The original\n\nIts text | with `code`.\n"))
    #expect(card.body.contains("made from `org/base`"))
    #expect(!card.body.contains("licence of the original is not"))
  }

  @Test func `a second card replaces the section of the first one`() throws {
    let run = try SampleRun.shared.get()
    let first = try ModelCard(of: try run.result(), extending: Self.existing).text()
    #expect(try ModelCard(of: try run.result(), extending: first + "\nMine.\n").text() == first + "\nMine.\n")
  }

  @Test func `the base model is read from a path in the hub's cache`() throws {
    var document = try SampleRun.shared.get().document
    document.set("input", to: .string("/root/.cache/hub/models--Org--Name-1B/snapshots/abc"))
    let result = try ConversionResult(document, path: "x")
    let card = try parts(ModelCard(of: result, extending: Self.existing).text())
    #expect(card.yaml["base_model"] as? String == "Org/Name-1B")
  }

  @Test(arguments: [
    "---\na: &x [1]\nb: *x\n---\ntext\n", "---\n- a\n---\ntext\n", "---\nno: [end\n---\ntext\n", "---\nopen",
    "---\nkey: \(String(repeating: "x", count: 70_000))\n---\ntext\n",
  ])
  func `front matter that is not understood stays as text`(existing: String) throws {
    let card = try ModelCard(of: try SampleRun.shared.get().result(), extending: existing).text()
    #expect(card.contains(existing))
    let yaml = try #require(try Yams.load(yaml: String(card.split(separator: "---\n")[0])) as? [String: Any])
    #expect(yaml["library_name"] as? String == "rilq")
  }

  @Test func `a format that only changed is not called quantized`() throws {
    let run = try SampleRun(to: "folder") { $0 = [] }
    let card = try parts(ModelCard(of: try run.result(), extending: nil).text())
    #expect(card.yaml["base_model_relation"] == nil)
    #expect(card.yaml["tags"] as? [String] == ["rilq"] && card.yaml["library_name"] == nil)
    #expect(card.body.contains("from transformers import"))
  }

  @Test func `names from a file do not break the card`() throws {
    var document = try SampleRun.shared.get().document
    document.set("output", to: .string("a`b|<script>\n<!-- rilq: end -->.rilq"))
    let result = try ConversionResult(document, path: "x")
    let first = try ModelCard(of: result, extending: nil).text()
    #expect(try ModelCard(of: result, extending: first).text() == first)
  }
}
