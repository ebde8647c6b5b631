import Passes
import TestSupport
import Testing

@Suite struct RecipeVariableTests {
  private func parse(input: String, variables: String) throws -> Recipe {
    try PassesTests.parse("input: \(input)\noutput: out\nvariables: \(variables)\npasses: []")
  }

  @Test(arguments: [
    ("${a}", "x"), ("p/${a}-${b}.txt", "p/x-2.txt"), ("$${a}", "${a}"), ("$$${a}", "$${a}"), ("$a$", "$a$"),
  ])
  func `fills in text`(written: String, expected: String) throws {
    #expect(try parse(input: written, variables: "{a: x, b: 2}").input.written == expected)
  }

  @Test func `fills in a number whether quoted or not`() throws {
    let yaml = """
      input: in
      output: out
      variables: {bits: 3, name: 7}
      passes:
        - quantize: {bits: "${bits}"}
        - quantize:
            bits: ${bits}
        - calibrate: {text: "${name}"}
      """
    let recipe = try PassesTests.parse(yaml)
    #expect(
      recipe.passes[0]
        == .quantize(QuantizeOptions { $0.bits = 3 }))
    #expect(
      recipe.passes[1]
        == .quantize(QuantizeOptions { $0.bits = 3 }))
    #expect(
      recipe.passes[2]
        == .calibrate(CalibrateOptions { $0.texts = [PathOption("7", in: "recipes")] }))
  }

  @Test func `fills in a variable with those above it`() throws {
    let recipe = try parse(input: "${b}", variables: "{a: x, b: '${a}/y'}")
    #expect(recipe.input.written == "x/y")
  }

  @Test func `a list stands for a whole value`() throws {
    let recipe = try PassesTests.parse(
      """
      input: in
      output: out
      variables: {name: b, text: [a.txt, "${name}.txt"]}
      passes:
        - quantize: {method: gptq, samples: 8, sampled: 2, text: "${text}"}
      """)
    #expect(recipe.variables.last == .init(name: "text", value: .list(["a.txt", "b.txt"])))
    let options = try #require(recipe.passes[0].options(of: QuantizePass.self))
    #expect(options.texts.map(\.resolved) == ["recipes/a.txt", "recipes/b.txt"])
    #expect(options.sampled == 2)
    #expect(try Recipe(parsing: recipe.resolvedYAML(), path: "recipes/r.yaml") == recipe)
  }

  private static let withText = """
    input: in
    output: out
    variables: {text: []}
    passes:
      - quantize: {method: gptq, samples: 8, sampled: 2, text: "${text}"}
      - calibrate: {samples: 6, sampled: 2, validation: 2, text: "${text}"}
    """

  @Test func `without a text the model writes every window`() throws {
    let recipe = try PassesTests.parse(Self.withText)
    let quantize = try #require(recipe.passes[0].options(of: QuantizePass.self))
    let calibrate = try #require(recipe.passes[1].options(of: CalibratePass.self))
    #expect(quantize.texts.isEmpty && quantize.sampled == 8)
    #expect(calibrate.texts.isEmpty && calibrate.sampled == 6)
    let shortened = try PassesTests.parse(Self.withText, "passes.0.quantize.samples=1")
    #expect(shortened.passes[0].options["sampled"]?.integer == 1)
    #expect(try Recipe(parsing: recipe.resolvedYAML(), path: "recipes/r.yaml") == recipe)
  }

  @Test func `arguments set the input, the output and the texts, whatever they look like`() throws {
    let arguments = RecipeArguments(
      input: "a${b}", output: "1.rilq", texts: ["${c}.txt", "d.txt"],
      overrides: ["passes.1.calibrate.samples=9"])
    let recipe = try Recipe(parsing: Self.withText, path: "recipes/r.yaml", arguments)
    #expect(recipe.input == PathOption("a${b}") && recipe.output == PathOption("1.rilq"))
    let quantize = try #require(recipe.passes[0].options(of: QuantizePass.self))
    let calibrate = try #require(recipe.passes[1].options(of: CalibratePass.self))
    #expect(quantize.texts == [PathOption("${c}.txt"), PathOption("d.txt")] && quantize.sampled == 2)
    #expect(calibrate.samples == 9 && calibrate.sampled == 2)
  }

  @Test func `texts without a variable for them are refused`() {
    let error = #expect(throws: PassError.self) {
      try Recipe(parsing: recipeText(passes: "merge: {}"), path: "r.yaml", RecipeArguments(texts: ["t"]))
    }
    #expect(error == .usage("r.yaml: has no variable 'text' that --text could set"))
  }

  @Test func `passes alone are a recipe, with their argument in messages`() throws {
    let arguments = RecipeArguments(input: "a", output: "b.gguf", overrides: ["passes.0.quantize.bits=3"])
    let recipe = try Recipe(passes: ["quantize: {bits: 4}", "merge"], arguments)
    #expect(recipe.passes.map(\.name) == ["quantize", "merge"] && recipe.outputFormat == .gguf)
    let quantize = try #require(recipe.passes[0].options(of: QuantizePass.self))
    #expect(quantize.bits == 3)
    let paths = RecipeArguments(input: "a", output: "b")
    let bits = message { _ = try Recipe(passes: ["quantize: {bits: 7}"], paths) }
    #expect(bits.hasPrefix("--pass quantize: {bits: 7}: key 'passes.0.quantize.bits': is '7'"))
    let name = message { _ = try Recipe(passes: ["quantise"], paths) }
    #expect(name.hasPrefix("--pass quantise: ") && name.contains("the nearest is 'quantize'"))
  }

  @Test(arguments: [
    ("${c}", "{ab: x}", "line 1: key 'input': … variable … 'c' … nearest … 'ab' …"),
    ("${c}", "{}", "line 1: key 'input': … variable … 'c' …"),
    ("${c", "{}", "line 1: key 'input': … '${' … without … '}' …"),
    ("in", "[a]", "line 3: key 'variables': … list … map …"),
    ("in", "{a: [[1]]}", "line 3: key 'variables.a.0': … list … value …"),
    ("in", "{a: [x, null]}", "line 3: key 'variables.a.1': … 'null' … value …"),
    ("${a}/b", "{a: [x]}", "line 1: key 'input': … '${a}' … list … beside … text …"),
    ("in", "{a: }", "line 3: key 'variables.a': … empty … value … list …"),
    ("in", "{a: null}", "line 3: key 'variables.a': … 'null' … value … list …"),
    ("in", "{a-b: 1}", "line 3: key 'variables.a-b': … not a name … '_' …"),
    ("in", "{input: 1}", "line 3: key 'variables.input': … name of a key …"),
    ("in", "{a: '${b}', b: 1}", "line 3: key 'variables.a': … variable … 'b' …"),
  ])
  func `refuses`(input: String, variables: String, expected: String) {
    let text = message { _ = try parse(input: input, variables: variables) }
    #expect(text.says("recipes/r.yaml: \(expected)"), "\(text)")
  }
}
