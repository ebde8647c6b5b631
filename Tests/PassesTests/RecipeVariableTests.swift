import Passes
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

  @Test(arguments: [
    ("${c}", "{ab: x}", "line 1: key 'input': there is no variable 'c', the nearest is 'ab'"),
    ("${c}", "{}", "line 1: key 'input': there is no variable 'c'"),
    ("${c", "{}", "line 1: key 'input': has '${' without '}'"),
    ("in", "[a]", "line 3: key 'variables': is a list, expected a map of names and values"),
    ("in", "{a: [1]}", "line 3: key 'variables.a': is a list, expected a value"),
    ("in", "{a: }", "line 3: key 'variables.a': is empty, expected a value"),
    ("in", "{a: null}", "line 3: key 'variables.a': is 'null', expected a value"),
    ("in", "{a-b: 1}", "line 3: key 'variables.a-b': is not a name of letters, digits and '_'"),
    ("in", "{input: 1}", "line 3: key 'variables.input': is the name of a key of the recipe"),
    ("in", "{a: '${b}', b: 1}", "line 3: key 'variables.a': there is no variable 'b'"),
  ])
  func `refuses`(input: String, variables: String, expected: String) {
    #expect(
      message { _ = try parse(input: input, variables: variables) } == "recipes/r.yaml: \(expected)")
  }
}
