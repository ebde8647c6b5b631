import Checkpoints
import Reports
import TestSupport
import Testing

@Suite struct ReportedResultTests {
  private static let result = #"{"input": "a", "output": "o/b.rilq", "passes": []}"#
  private static let evaluation = #"{"perplexity": 12.5, "nll_per_token": 2.5, "mean_kl": 0.25}"#
  private static let analysis =
    #"{"energy_shares": [], "linears": [{"name": "model.layers.0.q", "kind": "q", "relative_error": 0.5, "#
    + #""singular_values": [4, 2, 1]}], "layers": [{"layer": 0, "relative_error": 0.125}]}"#

  private func all(_ files: [(name: String, text: String)]) throws -> [ReportedResult] {
    let folder = try TemporaryFolder()
    return try ReportedResult.all(
      at: files.map { try folder.write($0.name, $0.text) }, access: .mapped)
  }

  @Test func `measurements belong to the result before them`() throws {
    let results = try all([
      ("1.json", Self.result), ("wiki.json", Self.evaluation), ("2.json", Self.result),
      ("errors.json", Self.analysis),
    ])
    #expect(results.map(\.evaluations.count) == [1, 0])
    #expect(results[0].evaluations[0].name == "wiki.json" && results[0].evaluations[0].perplexity == 12.5)
    #expect(results[1].analysis?.linears.first?.error.weights == 0.5)
    let page = ReportPage(results).html
    let outline = try XMLOutline(page)
    #expect(outline.texts("td").contains("0.2500"))
    #expect(outline.texts("text").contains("number of the singular value"))
    #expect(outline.texts("text").contains("after layer"))
  }

  @Test(arguments: [
    (["e.json"], "must come before"), (["x.json"], "no result"), (["r.json", "x.json"], "no result"),
    (["none.json"], "none.json"), (["broken.json"], "byte 1"), (["o.rilq"], "o.rilq"),
  ])
  func `what is no result is refused by its path`(names: [String], words: String) throws {
    let folder = try TemporaryFolder()
    try folder.write("r.json", Self.result)
    try folder.write("e.json", Self.evaluation)
    try folder.write("x.json", "{}")
    try folder.write("broken.json", "{")
    let error = #expect(throws: FormatError.self) {
      try ReportedResult.all(at: names.map(folder.path), access: .mapped)
    }
    #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
  }

  @Test(arguments: ["out.rilq", "out.gguf"])
  func `an output that is a file has its result beside it`(name: String) {
    #expect(ResultsFile.path(besideFile: name) == name + ".results.json")
  }

  @Test func `an output without its result is refused, and says where it would be`() throws {
    let folder = try TemporaryFolder()
    try TinyModel().write(to: folder.path("model"))
    let error = #expect(throws: FormatError.self) {
      try ReportedResult.all(at: [folder.path("model")], access: .mapped)
    }
    #expect(error?.description.contains("rilq-results.json") == true)
  }
}
