import Checkpoints
import Foundation
import Passes
import Reports
import TestSupport
import Testing

@Suite struct ReportPageTests {
  @Test func `a real result has every section, and the page is well-formed`() throws {
    let run = try SampleRun.shared.get()
    let tables = try TableHistograms(of: Checkpoint.open(path: run.output))
    let page = try run.page { $0.tables = tables }
    let outline = try XMLOutline(page)
    #expect(
      outline.texts("h2") == [
        "Key figures", "What went in", "What each pass did", "Loss curves", "Error by layer and linear",
        "Codes and tables", "Size by part", "Quality", "Merged against unmerged", "Continuations",
        "Time and memory", "How to load the output",
      ])
    let absent = outline.elements.filter { $0.attributes["class"] == "absent" }.map(\.text)
    #expect(absent.count == 1 && absent[0].contains("Errors of outputs"), "\(absent)")
    let links = Set(outline.elements.compactMap { $0.attributes["href"]?.dropFirst() })
    let ids = outline.elements.compactMap { $0.attributes["id"] }
    #expect(links.isSubset(of: Set(ids.map { $0[...] })) && Set(ids).count == ids.count)
  }

  @Test func `every image has a name, a description, and axes with units`() throws {
    let run = try SampleRun.shared.get()
    let tables = try TableHistograms(of: Checkpoint.open(path: run.output))
    let outline = try XMLOutline(run.page { $0.tables = tables })
    let images = outline.elements.filter { $0.name == "svg" }
    // Three losses, a heat map, and the histograms of codes, scales and zeros.
    #expect(images.count == 7)
    #expect(images.allSatisfy { $0.attributes["role"] == "img" })
    #expect(outline.texts("desc").filter { !$0.isEmpty }.count == images.count)
    let labels = outline.texts("text")
    for label in [
      "update", "cross entropy, nats per token", "relative error of the weights", "layer", "code",
      "% of the weights", "% of the groups", "log10 of the magnitude of a scale",
    ] {
      #expect(labels.contains(label), "\(label)")
    }
  }

  @Test func `the page has the figures of the result`() throws {
    let run = try SampleRun.shared.get()
    let result = try run.result()
    let compared = try #require(result.comparisonWithOriginal)
    let cells = try XMLOutline(run.page()).texts("td")
    let perplexity = try #require(compared.perplexity.candidate)
    #expect(cells.contains(String(format: "%.3f", perplexity)))
    #expect(cells.contains("model.layers.*.mlp.up_proj") == false)
    let heads = try XMLOutline(run.page()).texts("th")
    #expect(heads.contains("model.layers.*.mlp.up_proj"))
    #expect(try run.page().contains("<span class=\"passed\">passed</span>"))
    let digest = try #require(result.record?.sources.first?.digest)
    #expect(digest.count == 64)
    #expect(try run.page().contains(digest))
  }

  @Test func `the page loads nothing and runs nothing`() throws {
    let page = try SampleRun.shared.get().page()
    for part in ["<script", "http-equiv", "@import", "url(", "src=", "<link", "javascript:"] {
      #expect(!page.contains(part), "\(part)")
    }
    // The only address is the name of a namespace.
    #expect(page.matches(of: /https?:\/\/[^"]*/).allSatisfy { $0.output.contains("www.w3.org") })
  }

  @Test func `text from a file never becomes markup`() throws {
    let evil = "</title><script>alert(1)</script>\u{0}\u{1B}\"'&"
    let text = JSONValue.string(evil)
    let document = JSONValue.object([
      .init("input", text), .init("output", text),
      .init(
        "passes",
        .array([
          .object([
            .init("name", text), .init("seconds", .integer(1)), .init(evil, text),
            .init("passed", .bool(false)), .init("against", text),
            .init(
              "errors",
              .array([
                .object([
                  .init("module", .string("model.layers.0.\(evil)")), .init("relative_error", .double(0.5)),
                ])
              ])),
            .init(
              "checks",
              .array([.object([.init("name", text), .init("value", .null), .init("passed", .bool(false))])])),
            .init(
              "continuations",
              .array([
                .object([.init("prompt", text), .init("reference", text), .init("candidate", text)])
              ])),
          ])
        ])), .init("notices", .array([text])),
      .init(
        "record",
        .object([.init("model", .object([.init(evil, text)])), .init("format", .string("gguf"))])),
    ])
    let reported = ReportedResult(try ConversionResult(document, path: "x"))
    for page in [ReportPage([reported]).html, ReportPage([reported, reported]).html] {
      let outline = try XMLOutline(page)
      #expect(outline.texts("script").isEmpty && !page.contains("<script"))
      #expect(!page.contains("\u{0}") && !page.contains("\u{1B}"))
    }
  }

  @Test func `what an older result lacks is left out with a sentence`() throws {
    let document = try JSONValue(
      parsing: Array(
        """
        {"input": "a", "output": "b.rilq", "bytes": 10, "bits_per_weight": 2.5,
         "passes": [{"name": "quantize", "seconds": 2.0, "modules": 3, "relative_error": 0.5},
          {"name": "calibrate", "seconds": 70.0, "updates": 3}, {"name": "merge", "seconds": 0.1}]}
        """.utf8))
    let outline = try XMLOutline(ReportPage([ReportedResult(ConversionResult(document, path: "x"))]).html)
    let absent = outline.elements.filter { $0.attributes["class"] == "absent" }.map(\.text)
    for words in [
      "digests", "losses", "errors", "histograms", "sizes", "Nothing compared",
      "not compared with the unmerged", "what the models write",
    ] {
      #expect(absent.contains { $0.contains(words) }, "\(words)")
    }
    #expect(outline.texts("svg").isEmpty)
    #expect(outline.texts("td").contains("1 min 12 s"))
    #expect(outline.texts("pre") == ["rilq generate b.rilq --prompt 'Once upon a time'"])
  }

  @Test func `several results are compared`() throws {
    let first = try SampleRun.shared.get()
    let second = try SampleRun {
      $0[0] = .quantize(QuantizeOptions { $0.bits = 3 })
      $0.removeLast(2)
    }
    let page = ReportPage([ReportedResult(try first.result()), ReportedResult(try second.result())]).html
    let outline = try XMLOutline(page)
    #expect(
      outline.texts("h2") == [
        "Key figures", "Loss curves compared", "Error by layer compared", "out.rilq (1)", "out.rilq (2)",
      ])
    let bits = try [first, second].map { try #require(try $0.result().bitsPerWeight) }
    #expect(bits[0] < bits[1])
    let rows = outline.texts("td")
    #expect(rows.contains(String(format: "%.2f", bits[0])) && rows.contains(String(format: "%.2f", bits[1])))
    // In the compared plots each result is a line of its own.
    let legends = outline.elements.filter { $0.name == "li" && $0.text == "out.rilq (2)" }
    #expect(legends.count == 3)
    let ids = outline.elements.compactMap { $0.attributes["id"] }
    #expect(Set(ids).count == ids.count)
  }

  @Test func `a result makes the same page every time`() throws {
    let run = try SampleRun.shared.get()
    #expect(try run.page() == run.page())
  }
}
