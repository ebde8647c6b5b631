import Passes
import TestSupport
import Testing

@Suite struct TextListTests {
  /// The options of the only pass of a recipe.
  private func options(_ pass: String) throws -> QuantizeOptions {
    try #require(try parsePass(pass).options(of: QuantizePass.self))
  }

  @Test func `an array of paths has equal shares`() {
    let texts: TextList<String> = ["a", "b"]
    #expect(Array(texts) == ["a", "b"] && texts.shares == [1, 1])
    #expect(texts == TextList([("a", 1), ("b", 1)]))
    #expect(texts != TextList([("a", 1), ("b", 2)]))
  }

  @Test func `a recipe gives some texts a share`() throws {
    let texts = try options(
      "quantize: {method: gptq, text: [a.txt, {path: b.txt, share: 3}, {path: c.jsonl}]}"
    ).texts
    #expect(texts.map(\.resolved) == ["recipes/a.txt", "recipes/b.txt", "recipes/c.jsonl"])
    #expect(texts.shares == [1, 3, 1])
  }

  @Test func `the map of a text can be used again by its anchor`() throws {
    let recipe = try parse(
      recipeText(
        passes: "quantize: {method: gptq, text: &texts [a.txt, {path: b.txt, share: 3}]}",
        "calibrate: {text: *texts}"))
    let first = try #require(recipe.passes[0].options(of: QuantizePass.self))
    let second = try #require(recipe.passes[1].options(of: CalibratePass.self))
    #expect(first.texts == second.texts && second.texts.shares == [1, 3])
  }

  @Test(arguments: [
    ("[a, {path: a, share: 2}]", "text.1': … 'a' … again …"),
    ("[a, {share: 2}]", "text.1.path': … missing"),
    ("[a, {path: b, share: 0}]", "text.1.share': … '0' … integer … 1 … 1000000 …"),
    ("[a, {path: b, share: 1000001}]", "text.1.share': … '1000001' … integer …"),
    ("[a, {path: b, share: 0.5}]", "text.1.share': … '0.5' … integer …"),
    ("[a, {path: b, weight: 2}]", "text.1.weight': … 'weight' …"),
    ("[a, [b]]", "text.1': … list … path …"),
    ("{path: a, share: 2}", "text': … map … path …"),
  ])
  func `refuses what is no text with a share`(text: String, expected: String) {
    let error = message { _ = try options("quantize: {method: gptq, text: \(text)}") }
    #expect(error.says("recipes/r.yaml: line 4: key 'passes.0.quantize.\(expected)"))
  }

  @Test func `the plan has the windows of each text and of the model`() throws {
    let bench = try Workbench(fixture: "tiny-llama")
    let texts = TextList([("a.txt", 3), ("b.txt", 1)].map { (PathOption($0), $1) })
    let quantize = QuantizeOptions {
      ($0.method, $0.texts, $0.samples, $0.sampled) = (.gptq, texts, 12, 4)
    }
    let calibrate = CalibrateOptions { ($0.samples, $0.sampled, $0.validation) = (6, 6, 2) }
    let recipe = Recipe(
      input: PathOption(bench.input.path), output: PathOption(bench.folder.path("out.rilq")),
      passes: [.quantize(quantize), .calibrate(calibrate), .merge(MergeOptions())])
    let plan = try Pipeline(recipe).plan()
    #expect(
      plan.passes.map { $0.windows.map(\.text) } == [["a.txt", "b.txt", nil], [nil], []])
    #expect(plan.passes[0].windows.map(\.training) == [6, 2, 4])
    #expect(plan.passes[1].windows.map(\.training) == [6])
    #expect(plan.passes[1].windows.map(\.validation) == [2])
    let windows = plan.json(at: nil)["passes"]?.array?[0]["windows"]?.array
    #expect(windows?[0]["text"] == .string("a.txt") && windows?[0]["training"] == .integer(6))
    #expect(windows?[2]["text"] == .null)
  }

  @Test func `refuses a share that is less than a window, and names its text`() {
    let texts = "[{path: a, share: 100}, b]"
    let error = message { _ = try options("quantize: {method: gptq, text: \(texts), samples: 64}") }
    #expect(error.says("… 'text': … 'b' … 64 …"))
    let more = message { _ = try options("quantize: {method: gptq, text: \(texts), samples: 101}") }
    #expect(more == "no error")
  }
}
